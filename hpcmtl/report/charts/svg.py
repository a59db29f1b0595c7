"""Elements of SVG as escaped text, and the ticks of axes."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from markupsafe import Markup, escape

from hpcmtl.layerplan.report.ticks import round_up

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

LETTER = 6.6
"""Width of a letter of labels, in units of the drawing."""
COLOURS = 8
"""Number of colours of the page, with the classes ``c0``, ``c1`` and so on."""
WIDTH = 1000
"""Width of wide drawings, in units."""


def element(tag: str, *content: str, **attributes: float | str) -> Markup:
    """Returns an element; all text and all attributes are escaped unless they are `Markup`.

    Args:
        tag: name of the element.
        content: what is in it.
        attributes: attributes; ``class_`` is `class`, and other underscores are hyphens.
    """
    named = (f' {key.rstrip("_").replace("_", "-")}="{escape(_text(value))}"' for key, value in attributes.items())
    return Markup(f"<{tag}{''.join(named)}>{''.join(map(escape, content))}</{tag}>")  # noqa: S704 - escaped here


def joined(parts: Iterable[Markup]) -> Markup:
    """Returns elements one after the other."""
    return Markup().join(parts)


def label(x: float, y: float, text: str, class_: str = "", anchor: str = "start") -> Markup:
    """Returns a text; `anchor` is ``start``, ``middle`` or ``end``."""
    return element("text", text, x=x, y=y, class_=class_, text_anchor=anchor)


def drawing(width: float, height: float, what: str, parts: Iterable[Markup]) -> Markup:
    """Returns a whole drawing; `what` tells of it to those who do not see it."""
    return element(
        "svg",
        element("title", what),
        *parts,
        xmlns="http://www.w3.org/2000/svg",
        viewBox=f"0 0 {_text(width)} {_text(height)}",
        role="img",
        aria_label=what,
    )


def ticks(low: float, high: float, most: int) -> list[float]:
    """Returns round values from `low` to `high`, at most about `most` of them."""
    if not (math.isfinite(low) and math.isfinite(high)) or high <= low:
        return [low]
    step = round_up((high - low) / max(most, 1))
    if low + step == low:  # the range is finer than numbers are
        return [low]
    first = math.ceil(low / step - 1e-9)
    return [count * step for count in range(first, math.floor(high / step + 1e-9) + 1)]


def fitting(text: str, width: float) -> str:
    """Returns a text that fits in a width, its end cut off with an ellipsis; empty if not even two letters fit."""
    room = int(width / LETTER)
    if len(text) <= room:
        return text
    return f"{text[: room - 1]}…" if room >= 3 else ""


def points_text(xs: Sequence[float], ys: Sequence[float]) -> str:
    """Returns the points of a line."""
    return " ".join(f"{_text(x)},{_text(y)}" for x, y in zip(xs, ys, strict=True))


def _text(value: float | str) -> str:
    """Returns an attribute as text; lengths have a tenth of a unit."""
    return value if isinstance(value, str) else f"{value:.1f}".removesuffix(".0")
