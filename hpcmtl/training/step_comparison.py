"""Defines the outcome of the examination of a learner's first step."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class StepComparison:
    """Holds what the first step of a learner showed; an empty text stands for no difference.

    Attributes:
        compiled: difference of the compiled network from the same network run operation by operation.
        update: difference of an optimizer update from that of the framework's own trainer.
        coupled: whether the loss of a sample depends on the other rows of its batch, where neither random numbers nor
            batch normalisation is the cause; None where the group has one rank, for which it makes no difference.
        attributes: which attributes of the user's network and losses a pass changes, and what that means.
    """

    compiled: str = ""
    update: str = ""
    coupled: bool | None = None
    attributes: str = ""
