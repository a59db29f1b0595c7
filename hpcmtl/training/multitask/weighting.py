"""Weightings of objectives: the factors by which the losses of a task are added; pure numpy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy as np

    from hpcmtl.arrays import Arrays, Floats

WeightingInput = Literal[
    "losses", "current_losses", "losses_after", "gramian", "cross_gramian", "validation_products", "epoch"
]
"""Measured input of a weighting: the name of an attribute of `ObjectiveMeasurements`."""


@dataclass(frozen=True, kw_only=True)
class ObjectiveMeasurements:
    """Measurements over the whole group's batch, equal on all ranks; None if the weighting does not need them.

    Attributes:
        losses: (objectives,) mean losses of the step before; None also at the first step of the task.
        current_losses: (objectives,) mean losses of this step's batch, before its update. The step waits for them
            between its forward and its backward pass.
        labelled: (objectives,) above 0 where this step's batch has a label of the objective; None: all have one. Of the
            others, `losses` and `current_losses` are the newest known ones, and `losses_after` are 0.
        losses_after: (objectives,) mean losses of the batch of the step before, by the parameters after its update;
            None also at the first step. They cost one more forward pass a step.
        gramian: (objectives, objectives) inner products of the gradients of the mean losses of this step, over the
            shared parameters (see `Learner.backward_each`).
        cross_gramian: (objectives, objectives) inner products of the gradients of two batches drawn independently;
            the row is the objective of the first batch. It is not symmetric.
        validation_products: (objectives,) inner products of the gradient of each objective on this step's batch with
            the gradient of the sum of the losses on a batch of the validation split.
        epoch: number of epochs of the task that are done.
    """

    losses: Floats | None = None
    labelled: Floats | None = None
    current_losses: Floats | None = None
    losses_after: Floats | None = None
    gramian: Floats | None = None
    cross_gramian: Floats | None = None
    validation_products: Floats | None = None
    epoch: int | None = None


class Weighting(Protocol):
    """Gives the weight of each objective at each step; one object on each rank, with the same state on all."""

    @property
    def needs(self) -> frozenset[WeightingInput]:
        """Measurements that `weights` needs; each has a cost at every step."""
        ...

    def weights(self, measured: ObjectiveMeasurements) -> Sequence[float]:
        """Returns one weight an objective, for the next step; called once a step, with the same input on all ranks."""
        ...

    def state(self) -> Arrays:
        """Returns copies of the state by name, equal on all ranks."""
        ...

    def load_state(self, state: Mapping[str, np.ndarray[Any, Any]]) -> None:
        """Restores what `state` returned; names that are missing take their initial values."""
        ...
