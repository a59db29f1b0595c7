"""The values that a network takes: numbers, or integers such as those of tokens and ids."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from hpcmtl.errors import nearest

if TYPE_CHECKING:
    from collections.abc import Collection


@dataclass(frozen=True)
class InputValues:
    """The values of the samples that a network takes.

    Attributes:
        integers: whether they are integers, which reach the network as int64; else numbers, which reach it as float32.
        below: the integers are from 0 to below this number; None for any.
    """

    integers: bool = False
    below: int | None = None


FLOATS = InputValues()

INPUT = "input"
"""Name of the input of a network that takes one input, without a name."""
InputName = Annotated[str, Field(pattern=r"^[A-Za-z_]\w*$", max_length=100)]
"""Name of an input: that of an argument of the network's forward pass."""


def other_inputs(taken: Collection[str], given: Collection[str], optional: Collection[str] = ()) -> str | None:
    """Returns why the inputs that a network is given are not those that it takes; None if they are.

    Args:
        taken: names of the inputs that it needs.
        given: names of the inputs that it is given.
        optional: names of inputs that it may take as well.
    """
    if set(taken) <= set(given) <= {*taken, *optional}:
        return None
    if set(taken) == {INPUT}:
        return f"the network takes one input, and is given {' and '.join(given)}: write `input: SOURCE/ARRAY`"
    if set(given) == {INPUT}:
        listed = ", ".join(f"{name}: SOURCE/ARRAY" for name in taken)
        return f"the network takes inputs by name: write `input: {{{listed}}}`"
    known = list(dict.fromkeys([*taken, *optional]))
    unknown = [name for name in given if name not in known]
    if unknown:
        return f"the network takes no input {unknown[0]!r}{nearest(unknown[0], known)}; it takes {' and '.join(known)}"
    missing = [name for name in taken if name not in given]
    return f"the network takes {' and '.join(taken)}, and is given no {missing[0]!r}: add `{missing[0]}: SOURCE/ARRAY`"
