"""The values that a network takes: numbers, or integers such as those of tokens and ids."""

from __future__ import annotations

from dataclasses import dataclass


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
