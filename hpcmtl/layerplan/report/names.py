"""Names of tasks where there is no room for all letters."""

from __future__ import annotations


def shortened(name: str, most: int, dots: str = "…") -> str:
    """Returns a name of up to `most` characters; a longer one has dots in place of its middle.

    The names of a family often differ in their last letters alone.
    """
    if len(name) <= most:
        return name
    head = max(most - len(dots) + 1, 0) // 2
    tail = max(most - len(dots) - head, 0)
    return f"{name[:head]}{dots}{name[len(name) - tail :]}"
