"""Checks of the options of an optimizer against the arguments that a framework's class or a user's function takes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hpcmtl.errors import nearest
from hpcmtl.networks.strict import is_truth_in_text

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


def unfit_options(
    options: Mapping[str, Any], known: Mapping[str, Any], given: Mapping[str, str], *, open_ended: bool
) -> Iterator[str]:
    """Yields what is wrong with options: unknown ones, those that hpcmtl sets, and those that are no numbers.

    Args:
        options: options of the job file.
        known: arguments that the optimizer takes, with their defaults.
        given: arguments that are not for users, and what to do in their place.
        open_ended: whether the optimizer takes arguments of any name.
    """
    for name, value in options.items():
        if name in given:
            yield f"option {name} would have no effect: {given[name]}"
        elif name not in known:
            if not open_ended:
                yield f"has no option {name!r}{nearest(name, known.keys() - given.keys())}"
        elif _is_number(known[name]) and not _is_number(value):
            yield f"option {name} is {value!r}; it takes a number, such as {known[name]!r}"
        elif isinstance(known[name], bool) and is_truth_in_text(value):
            yield f"option {name} is {value!r}, a text, which counts as true; write true or false, without quotes"


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
