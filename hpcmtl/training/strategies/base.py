"""Protocol of a synchronisation strategy: when and how the replicas of a group are kept together."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np

    from hpcmtl.arrays import Arrays
    from hpcmtl.communicators.base import Communicator
    from hpcmtl.training.learner import Learner


GradientsToReduce = Literal["gradients", "private_gradients"]
"""Gradients of a step that are synchronised, see `hpcmtl.training.learner.Which`."""


@dataclass(frozen=True)
class StrategyFacts:
    """Facts of a strategy for the ledger and the results.

    Attributes:
        engine: name of the collective in use.
        engine_reason: reason for that choice.
        compression: representation of gradients on the wire, with the reason where it was measured.
    """

    engine: str
    engine_reason: str
    compression: str = "none"


class SynchronisationStrategy(Protocol):
    """Synchronises the replicas of one group; one object on each rank.

    Methods marked *collective* are called by all ranks of the group in the same order. A training step is
    `Learner.forward_backward`, `after_backward`, `Learner.apply` and `after_step`.
    """

    @property
    def facts(self) -> StrategyFacts:
        """Facts up to now."""
        ...

    @property
    def replicas_equal(self) -> bool:
        """Returns whether optimizer states are bit-equal on all ranks after each step, and not parameters alone.

        Parameters are equal at least after `consolidate`. The training checks whichever of the two holds.
        """
        ...

    @property
    def loss_scale(self) -> float | None:
        """Returns the factor on losses that keeps gradients in the range of fp16; None where there is none."""
        ...

    def gradient_scale(self, global_samples: int) -> float:
        """Returns the factor on each sample's loss for the next step, before its backward pass.

        Args:
            global_samples: number of samples in the batch of the whole group.
        """
        ...

    @property
    def group(self) -> Communicator:
        """The ranks that are synchronised."""
        ...

    def after_backward(self, learner: Learner, which: GradientsToReduce = "gradients") -> float | None:
        """Synchronises the gradients of a step (collective).

        Args:
            learner: learner of this rank.
            which: gradients that are not synchronised yet; the others are equal on all ranks.

        Returns:
            The factor on the gradients in the update, or None on all ranks alike: the step is skipped.
        """
        ...

    def after_step(self, learner: Learner, step: int) -> None:
        """Synchronises the parameters after an update, or after a skipped step (collective).

        Args:
            learner: learner of this rank.
            step: number of steps of the task done, this one included.
        """
        ...

    def sum(self, array: np.ndarray[Any, Any]) -> None:
        """Overwrites a contiguous numpy array with its sum over the group (collective)."""
        ...

    def synchronise(self, learner: Learner) -> None:
        """Gives every rank the parameters of the group's first (collective)."""
        ...

    def consolidate(self, learner: Learner) -> None:
        """Brings parameters and running statistics of all ranks to one state, before it is saved (collective)."""
        ...

    def state(self) -> Arrays:
        """Returns copies of the state of the strategy and its parts by name, equal on all ranks (collective)."""
        ...

    def load_state(self, state: Mapping[str, np.ndarray[Any, Any]]) -> None:
        """Restores what `state` returned, on a group of any size; names that are missing take their initial values."""
        ...

    def close(self) -> None:
        """Releases the group (collective); no other method may be called afterwards."""
        ...
