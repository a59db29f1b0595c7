"""Turns of objectives: which objective each step of a task trains, as plain values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, kw_only=True)
class Turns:
    """The rule by which a step trains one objective alone.

    Attributes:
        how: ``round_robin``: one step each in turn; ``shares``: steps of an epoch in random order, in given numbers;
            ``proportional``: the same, by the numbers of samples with a label; ``stages``: whole epochs, one objective
            after the other.
        shares: one number an objective, in proportion to its steps, or to its epochs with ``stages``; none for others.
    """

    how: Literal["round_robin", "shares", "proportional", "stages"]
    shares: tuple[float, ...] = ()
