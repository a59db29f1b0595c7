"""Defines the settings of a learner, and takes them from a task."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hpcmtl.jobfile.fields import Precision
    from hpcmtl.jobfile.kinds import FrameworkNeeds
    from hpcmtl.jobfile.tasks import Optimizer
    from hpcmtl.training.kinds.schemas import Trained


@dataclass(frozen=True)
class LearnerSettings:
    """Settings of a task's learner, equal on all ranks of its group.

    Attributes:
        optimizer: name, weight decay and options; the learning rate comes with each step.
        freeze: patterns of the names of parameters that are not trained.
        seed: seed of the initial parameters; the same for any number of ranks.
        accumulate: number of micro-batches that a rank's share of a batch is computed in.
        precision: type of numbers that the network computes in; parameters are float32.
        sync_batchnorm: whether batch normalisation uses the statistics of the whole group's batch.
    """

    optimizer: Optimizer
    freeze: tuple[str, ...] = ()
    seed: int = 0
    accumulate: int = 1
    precision: Precision = "fp32"
    sync_batchnorm: bool = False


def settings_of(task: Trained | FrameworkNeeds, seed: int = 0) -> LearnerSettings:
    """Returns the settings of a training task, or of what it asks of its framework."""
    assert task.optimizer is not None, "defaults are filled in"
    return LearnerSettings(
        optimizer=task.optimizer,
        freeze=task.freeze,
        seed=seed,
        accumulate=task.accumulate,
        precision=task.precision,
        sync_batchnorm=task.sync_batchnorm,
    )
