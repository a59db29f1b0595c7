"""Gramian of the gradients of objectives: the input of weightings by gradients."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from hpcmtl.arrays import Floats
    from hpcmtl.training.learner import Learner
    from hpcmtl.training.step_input import StepInput
    from hpcmtl.training.strategies.base import SynchronisationStrategy


def gramian_of(learner: Learner, strategy: SynchronisationStrategy, batch: StepInput) -> Floats:
    """Returns the Gramian of the objectives' gradients on a batch, the same on all ranks (collective).

    The cost is one forward and backward pass an objective, and a sum over the group of one gradient an objective.

    Args:
        learner: learner of this rank; its gradients are overwritten.
        strategy: strategy that is open on the group.
        batch: this rank's share of the batch.

    Returns:
        (objectives, objectives) float64 inner products of the gradients of the batch's mean losses, by the shared
        parameters.
    """
    found = learner.objective_gradients(batch, 1 / batch.global_samples)
    rows = np.stack([np.concatenate([array.ravel() for array in each.values()]) for each in found])
    strategy.sum(rows)
    gradients = rows.astype(np.float64)
    gramian: Floats = gradients @ gradients.T
    return gramian
