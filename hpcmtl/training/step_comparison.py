"""Defines the outcome of the examination of a learner's first step."""

from __future__ import annotations

from dataclasses import dataclass

BY_ITS_ROWS = (
    "a pass changes {} itself, as `nn.Embedding(max_norm=...)` does, and each rank would change it by its own rows: "
    "`ranks: 1` keeps the task on one rank, or bound the values in the loss"
)
"""Refusal of a task on several ranks, whose parameters would part; with the names of the parameters."""


@dataclass(frozen=True, kw_only=True)
class StepComparison:
    """Holds what the first step of a learner showed; an empty text stands for no difference.

    Attributes:
        compiled: difference of the compiled network from the same network run operation by operation.
        update: difference of an optimizer update from that of the framework's own trainer.
        coupled: whether the loss of a sample depends on the other rows of its batch, where neither random numbers nor
            batch normalisation is the cause; None where the group has one rank, for which it makes no difference.
        draws: whether a training pass drew random numbers, in the network or a loss.
        sums: whether the gradients of a batch are the sums of those of its samples; true where that was not looked at.
        multiples: whether gradients are multiples of a factor on the losses, where a framework divides gradients by the
            size of the batch after the backward pass; true where that was not looked at.
        attributes: which values that no checkpoint has a pass or an update changes, in attributes and functions of the
            user's network, losses and optimizer, and what that means.
    """

    compiled: str = ""
    update: str = ""
    coupled: bool | None = None
    attributes: str = ""
    draws: bool = False
    sums: bool = True
    multiples: bool = True
