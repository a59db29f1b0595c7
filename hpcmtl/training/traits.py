"""Properties of a learner by which a training may depend on the number of ranks."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class LearnerTraits:
    """Describes what may differ between ranks in a training.

    Attributes:
        may_draw: whether a training pass may draw random numbers, now or in a later step.
        random_optimizer: whether an update draws random numbers.
        batch_statistics: whether a training pass uses statistics of the rows of its batch, as batch normalisation does.
        whole_batch_statistics: whether `take_batch_statistics` keeps all running statistics equal on all ranks.
    """

    may_draw: bool = False
    random_optimizer: bool = False
    batch_statistics: bool = False
    whole_batch_statistics: bool = False
