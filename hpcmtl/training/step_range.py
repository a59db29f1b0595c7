"""The range of the optimizer steps of a task layer, and what the training loop calls beside them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from hpcmtl.training.loss_totals import NO_LOSSES, LossTotals

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from hpcmtl.arrays import Floats
    from hpcmtl.networks.consistency import Consistency
    from hpcmtl.results.step_progress import StepProgress
    from hpcmtl.training.schedule import RateSchedule
    from hpcmtl.training.step_comparison import StepComparison


@dataclass(frozen=True)
class StepRange:
    """Range of the optimizer steps of one task layer.

    Attributes:
        task: name of the task.
        layer: number of the layer.
        start: first step, counted over the whole task.
        stop: step after the last one.
        steps_per_epoch: number of steps in an epoch of the task.
        objectives: names of the objectives, in the order of the learner's losses, which begin with theirs.
        batch_size: number of samples in a step, over the group.
        schedule: learning rate by step.
        rate: number of the newest change of the learning rate that `schedule` contains; 0 for none.
        before: losses of the steps before `start` in its epoch.
        whole: steps of the layer that this run makes, these among them; None: these alone.
        consistency: losses between outputs of the network, which come after those of the objectives.
    """

    task: str
    layer: int
    start: int
    stop: int
    steps_per_epoch: int
    objectives: tuple[str, ...]
    batch_size: int
    schedule: RateSchedule
    rate: int = 0
    before: LossTotals = NO_LOSSES
    whole: range | None = None
    consistency: tuple[Consistency, ...] = ()

    @property
    def losses(self) -> tuple[str, ...]:
        """Returns the names of all losses."""
        return (*self.objectives, *(each.name for each in self.consistency))

    @property
    def of_layer(self) -> range:
        """Returns the steps of the layer that this run makes."""
        return range(self.start, self.stop) if self.whole is None else self.whole


class StepRecorder(Protocol):
    """Keeps what the steps of a task measure."""

    def step_done(self, step: int, rate: float) -> None:
        """Takes note of a step.

        Args:
            step: number of steps of the task done, this one included.
            rate: its learning rate.
        """
        ...

    def losses_known(self, done: int, losses: Floats, shares: Floats) -> None:
        """Takes the losses of the next steps.

        Args:
            done: number of steps of the task done, the last one of these included.
            losses: (steps, losses) losses of the group, equal on all ranks.
            shares: (steps, losses) what each counts in a mean over samples, see `loss_totals.share_of`.
        """
        ...


class NoRecorder:
    """A `StepRecorder` that keeps nothing."""

    def step_done(self, step: int, rate: float) -> None:
        """See `StepRecorder`."""

    def losses_known(self, done: int, losses: Floats, shares: Floats) -> None:
        """See `StepRecorder`."""


@dataclass(frozen=True)
class Hooks:
    """Functions that the loop calls, on all ranks at the same steps.

    Attributes:
        report: function that reports the progress of the layer; called on the group's first rank only.
        stop_requested: function that returns whether this rank has a request to stop.
        epoch_ended: function of the number of an epoch, and of the mean loss of each objective over its samples, called
            after its last step. It returns, equal on all ranks, whether the loop ends here, before `stop`. None if
            nothing is to be done.
        newest_rate: function that returns the number of the newest change of the learning rate that this rank has
            received; 0 for none.
        rate_agreed: function of the number of a change that all ranks have received, and of the first step that it
            applies to; it returns the schedule from that step on.
        sync_point: function of the number of steps done, called after each step. It returns, equal on all ranks,
            whether the task stops here, before the end of its layer. None if no parameters are exchanged with other
            tasks.
        save_due: function that returns whether a checkpoint is due; one rank of the group is enough.
        save: function of the number of steps done and the known losses, called when the group has agreed on a
            checkpoint.
        compared: function of what the examination of the first step found, called before this step.
        recorder: what keeps the measurements of all steps; it lives on every rank.
    """

    report: Callable[[StepProgress], None]
    stop_requested: Callable[[], bool]
    epoch_ended: Callable[[int, Mapping[str, float]], bool] | None = None
    newest_rate: Callable[[], int] = lambda: 0
    rate_agreed: Callable[[int, int], RateSchedule] | None = None
    sync_point: Callable[[int], bool] | None = None
    save_due: Callable[[], bool] = lambda: False
    save: Callable[[int, LossTotals], object] | None = None
    compared: Callable[[StepComparison], None] = lambda _comparison: None
    recorder: StepRecorder = field(default_factory=NoRecorder)
