"""Parts of a training session: what each keeps in checkpoints, and what it does at the ends of epochs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from hpcmtl.arrays import Arrays
    from hpcmtl.training.checkpointing.content import Checkpoint
    from hpcmtl.training.replica import Replica
    from hpcmtl.training.session import SessionContext


@dataclass(frozen=True, kw_only=True)
class EpochEnd:
    """The end of an epoch of a training task.

    Attributes:
        context: context of the session on the present group.
        replica: replica of this rank, after the last step of the epoch.
        epoch: number of the epoch, from 0.
        step: number of optimizer steps of the task done.
        is_last: whether the task has no epoch after it.
        losses: ``loss``, or ``<objective>.loss``: mean over the samples of the epoch, equal on all ranks.
        total_loss: sum of these, each times the weight in the job file; None if one is not known.
        metrics: metrics of the validation samples, equal on all ranks; empty where there was no validation.
    """

    context: SessionContext
    replica: Replica
    epoch: int
    step: int
    is_last: bool
    losses: Mapping[str, float]
    total_loss: float | None
    metrics: Mapping[str, float]


class SessionPart:
    """The defaults of a part that keeps nothing and does nothing; one object on each rank of the group.

    Attributes:
        acts_on_epochs: whether `epoch_ended` does something; the group then agrees on all losses at each end.
    """

    acts_on_epochs = False

    def facts(self) -> Mapping[str, Any]:
        """Returns facts for a checkpoint by name, equal on all ranks; names are the part's own."""
        return {}

    def state(self) -> Arrays:
        """Returns arrays for a checkpoint by name, equal on all ranks, which are not changed any more."""
        return {}

    def load(self, found: Checkpoint) -> None:
        """Goes on from a checkpoint, also one of an earlier version; from the beginning if it is empty."""

    def epoch_ended(self, end: EpochEnd) -> bool:  # noqa: ARG002 - for parts that act
        """Acts on the end of an epoch (collective).

        Returns:
            Whether the training is to be interrupted here, equal on all ranks.
        """
        return False


class SessionParts(SessionPart):
    """Several parts as one."""

    def __init__(self, parts: Sequence[SessionPart]) -> None:
        """Takes the parts in the order in which they act."""
        self._parts = tuple(parts)
        self.acts_on_epochs = any(part.acts_on_epochs for part in parts)

    def facts(self) -> Mapping[str, Any]:
        """See `SessionPart`."""
        return {name: fact for part in self._parts for name, fact in part.facts().items()}

    def state(self) -> Arrays:
        """See `SessionPart`."""
        return {name: array for part in self._parts for name, array in part.state().items()}

    def load(self, found: Checkpoint) -> None:
        """See `SessionPart`."""
        for part in self._parts:
            part.load(found)

    def epoch_ended(self, end: EpochEnd) -> bool:
        """See `SessionPart`."""
        return any([part.epoch_ended(end) for part in self._parts])  # noqa: C419 - all of them act
