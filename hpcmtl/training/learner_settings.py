"""Defines the settings of a learner, and takes them from a task."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from hpcmtl.jobfile.kinds import FrameworkNeeds
from hpcmtl.training.frozen_patterns import frozen_at, temporary

if TYPE_CHECKING:
    from hpcmtl.jobfile.fields import Precision
    from hpcmtl.jobfile.tasks import Optimizer
    from hpcmtl.networks.consistency import Consistency
    from hpcmtl.training.kinds.schemas import Trained


@dataclass(frozen=True)
class LearnerSettings:
    """Settings of a task's learner, equal on all ranks of its group.

    Attributes:
        optimizer: name, weight decay and options; the learning rate comes with each step.
        freeze: patterns of the names of parameters that are not trained.
        frozen_for_now: those of them whose parameters are trained at other times.
        seed: seed of the initial parameters; the same for any number of ranks.
        accumulate: number of micro-batches that a rank's share of a batch is computed in.
        precision: type of numbers that the network computes in; parameters are float32.
        sync_batchnorm: whether batch normalisation uses the statistics of the whole group's batch.
        consistency: losses between outputs of two heads; they come after those of the objectives.
    """

    optimizer: Optimizer
    freeze: tuple[str, ...] = ()
    frozen_for_now: tuple[str, ...] = ()
    seed: int = 0
    accumulate: int = 1
    precision: Precision = "fp32"
    sync_batchnorm: bool = False
    consistency: tuple[Consistency, ...] = ()


def settings_of(
    task: Trained | FrameworkNeeds, seed: int = 0, consistency: tuple[Consistency, ...] = ()
) -> LearnerSettings:
    """Returns the settings of a training task in its first epoch, or of what it asks of its framework."""
    assert task.optimizer is not None, "defaults are filled in"
    return LearnerSettings(
        optimizer=task.optimizer,
        freeze=task.freeze if isinstance(task, FrameworkNeeds) else frozen_at(task.freeze, 0),
        frozen_for_now=task.frozen_for_now if isinstance(task, FrameworkNeeds) else temporary(task.freeze),
        seed=seed,
        accumulate=task.accumulate,
        precision=task.precision,
        sync_batchnorm=task.sync_batchnorm,
        consistency=consistency,
    )
