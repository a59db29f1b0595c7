"""Loop over the optimizer steps of one task layer, with synchronisation points of the group in between."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from hpcmtl import faults
from hpcmtl.errors import TaskFailedError
from hpcmtl.results.step_progress import StepProgress
from hpcmtl.training.learner import STEPS_IN_FLIGHT
from hpcmtl.training.loss_totals import NO_LOSSES, LossTotals, share_of, totals_of
from hpcmtl.training.schedule import learning_rate
from hpcmtl.training.step_input import StepInput, inputs_in

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from hpcmtl.arrays import Floats
    from hpcmtl.communicators.base import Communicator
    from hpcmtl.data.batches import Batch
    from hpcmtl.training.replica import Replica
    from hpcmtl.training.schedule import RateSchedule
    from hpcmtl.training.step_comparison import StepComparison

TARGET = "target/"
SECONDS_BETWEEN_AGREEMENTS = 1.0
MOST_STEPS_BETWEEN_AGREEMENTS = 200
_NEVER = float("inf")


@dataclass(frozen=True)
class StepRange:
    """Range of the optimizer steps of one task layer.

    Attributes:
        task: name of the task.
        layer: number of the layer.
        start: first step, counted over the whole task.
        stop: step after the last one.
        steps_per_epoch: number of steps in an epoch of the task.
        objectives: names of the objectives, in the order of the learner's losses.
        batch_size: number of samples in a step, over the group.
        schedule: learning rate by step.
        rate: number of the newest change of the learning rate that `schedule` contains; 0 for none.
        before: losses of the steps before `start` in its epoch.
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


@dataclass(frozen=True)
class Hooks:
    """Functions that the loop calls, on all ranks at the same steps.

    Attributes:
        report: function that reports the progress of the layer; called on the group's first rank only.
        stop_requested: function that returns whether this rank has a request to stop.
        epoch_ended: function of the number of an epoch, called after its last step; None if nothing is to be done.
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
    """

    report: Callable[[StepProgress], None]
    stop_requested: Callable[[], bool]
    epoch_ended: Callable[[int], None] | None = None
    newest_rate: Callable[[], int] = lambda: 0
    rate_agreed: Callable[[int, int], RateSchedule] | None = None
    sync_point: Callable[[int], bool] | None = None
    save_due: Callable[[], bool] = lambda: False
    save: Callable[[int, LossTotals], object] | None = None
    compared: Callable[[StepComparison], None] = lambda _comparison: None


@dataclass
class StepsResult:
    """Result of the steps of a layer.

    Attributes:
        next_step: first step that was not taken.
        stopped: whether the group agreed to stop before the end of the layer.
        losses: mean loss by objective, over the samples of the newest epoch up to now.
        totals: losses of the epoch that the next step belongs to, for whoever takes this step.
    """

    next_step: int
    stopped: bool = False
    losses: dict[str, float] = field(default_factory=dict)
    totals: LossTotals = NO_LOSSES


class _Agreement:
    """Synchronisation points of a group: losses, failures, requests and pace are agreed on by Allreduce.

    Between two points a step sends no message but those of the synchronisation strategy. Each point fixes the step of
    the next one, from the pace of the slowest rank. So all ranks reach it at the same step, and no rank waits for one
    that trained on.
    """

    def __init__(self, step_range: StepRange, group: Communicator, hooks: Hooks) -> None:
        self.step_range = step_range
        self.group, self.hooks = group, hooks
        self.schedule, self._rate = step_range.schedule, step_range.rate
        self._last = self._known = step_range.start
        self.losses = np.zeros((0, len(step_range.objectives)))  # of the group, by known step of the newest epoch
        self.shares: list[Floats] = []  # for these and all later steps, what they count in the mean over an epoch
        self._last_at = time.perf_counter()
        self.next = step_range.start + 1
        self.pace = 0.0  # seconds a step
        self.saving = False  # whether a checkpoint is made at the next point

    def agree(self, step: int, losses: np.ndarray[Any, Any], stop: bool) -> bool:
        """Takes part in the synchronisation point before `step` (collective).

        Args:
            step: step that comes next.
            losses: (steps whose losses are new, objectives), this rank's share.
            stop: whether this rank requests a stop.

        Returns:
            Whether the group stops; the same on all ranks.

        Raises:
            TaskFailedError: on all ranks, if a loss of any rank was not finite.
        """
        bad = np.flatnonzero(~np.isfinite(losses).all(axis=1))
        first_bad = float(self._known + bad[0]) if len(bad) else _NEVER
        seconds = time.perf_counter() - self._last_at
        due = self.hooks.save is not None and not self.saving and self.hooks.save_due()
        agreed = np.array([first_bad, -float(stop), -seconds, float(self.hooks.newest_rate()), -float(due)])
        self.group.Allreduce(agreed, "min")
        if agreed[0] != _NEVER:
            self._fail(int(agreed[0]), losses)
        total = np.ascontiguousarray(losses)
        if total.size:
            self.group.Allreduce(total)
        self._keep(total)
        self.pace = -agreed[2] / max(step - self._last, 1)
        if agreed[3] > self._rate and self.hooks.rate_agreed is not None:
            self._rate = int(agreed[3])
            self.schedule = self.hooks.rate_agreed(self._rate, step)
        ahead = int(SECONDS_BETWEEN_AGREEMENTS / max(self.pace, 1e-9))
        self.saving = bool(agreed[4] < 0)
        self._last, self._last_at = step, time.perf_counter()
        self.next = step + min(max(ahead, 1), MOST_STEPS_BETWEEN_AGREEMENTS)
        return bool(agreed[1] < 0)

    def totals(self) -> LossTotals:
        """Returns the totals of the newest epoch, with the steps that were taken before these."""
        count = len(self.losses)
        if not count:
            return self.step_range.before
        mine = totals_of(self.losses, np.array(self.shares[:count]))
        return self.step_range.before.plus(mine) if self._known_in_epoch > count else mine

    def carried(self, step: int) -> LossTotals:
        """Returns the totals of the epoch of `step`, which comes next; none at the start of an epoch."""
        return self.totals() if step % self.step_range.steps_per_epoch else NO_LOSSES

    @property
    def _known_in_epoch(self) -> int:
        """Number of steps of the newest epoch whose losses are known, those before the first step included."""
        return (self._known - 1) % self.step_range.steps_per_epoch + 1

    def _keep(self, losses: Floats) -> None:
        """Adds losses of the group, and drops those of all epochs but the newest."""
        self._known += len(losses)
        known = np.concatenate([self.losses, losses])
        old = max(len(known) - self._known_in_epoch, 0)
        self.losses = known[old:]
        del self.shares[:old]

    def _fail(self, bad: int, losses: np.ndarray[Any, Any]) -> None:
        step_range = self.step_range
        total = np.ascontiguousarray(losses[bad - self._known])
        self.group.Allreduce(total)
        names = [f"{n} = {v}" for n, v in zip(step_range.objectives, total, strict=True) if not np.isfinite(v)]
        epoch = bad // step_range.steps_per_epoch
        raise TaskFailedError(
            f"task {step_range.task}, layer {step_range.layer}, step {bad} (epoch {epoch}): the loss is not finite "
            f"({', '.join(names)}). A smaller learning rate, a warm-up or cleaner data may help"
        )


def run_steps(
    replica: Replica, batches: Iterable[Batch], step_range: StepRange, group: Communicator, hooks: Hooks
) -> StepsResult:
    """Trains the steps of a task layer (collective).

    Args:
        replica: replica of this rank, open on the group.
        batches: this rank's share of each step of `step_range`, in order.
        step_range: range of the steps.
        group: ranks that train together.
        hooks: functions to call.

    Raises:
        TaskFailedError: on all ranks, if a loss is NaN or infinite, or the first update of a parameter is wrong.
    """
    agreement = _Agreement(step_range, group, hooks)
    result, targets = StepsResult(step_range.start), [TARGET + name for name in step_range.objectives]
    for batch in batches:
        step = result.next_step
        faults.step_point(step_range.task, step_range.layer, step - step_range.start, replica.learner.views)
        given, rate = _step_input(batch, step_range.objectives, group.size), learning_rate(agreement.schedule, step)
        _compare_once(replica, given, rate, agreement)
        replica.step(given, rate, step)
        agreement.shares.append(share_of(batch, targets, step_range.batch_size))
        result.next_step = step = step + 1
        epoch, rest = divmod(step, step_range.steps_per_epoch)
        if step >= agreement.next or step == step_range.stop:
            result.stopped = _synchronise(replica, agreement, step) and step < step_range.stop
        if hooks.sync_point is not None and not result.stopped:
            result.stopped = hooks.sync_point(step) and step < step_range.stop
        if rest == 0 and hooks.epoch_ended is not None:
            hooks.epoch_ended(epoch - 1)
        if result.stopped:
            agreement.agree(step, replica.collect_losses(), stop=True)
            break
    result.losses = agreement.totals().means(step_range.objectives)
    result.totals = agreement.carried(result.next_step)
    return result


def _compare_once(replica: Replica, given: StepInput, rate: float, agreement: _Agreement) -> None:
    if not replica.compared:
        found = replica.compare_first_step(agreement.step_range.task, given, rate, agreement.group)
        agreement.hooks.compared(found)


def _synchronise(replica: Replica, agreement: _Agreement, step: int) -> bool:
    """Synchronises the group after `step` steps and makes a checkpoint that was agreed on; returns whether to stop."""
    step_range, hooks, saving = agreement.step_range, agreement.hooks, agreement.saving
    in_flight = 0 if step == step_range.stop or saving else STEPS_IN_FLIGHT
    stop = agreement.agree(step, replica.collect_losses(in_flight), hooks.stop_requested())
    if agreement.group.rank == 0:
        hooks.report(_progress(step_range, step, agreement, saving=saving or stop))
    if saving and hooks.save is not None and step < step_range.stop and not stop:
        hooks.save(step, agreement.carried(step))
    return stop


def _step_input(batch: Batch, objectives: tuple[str, ...], ranks: int) -> StepInput:
    keys = [TARGET + name for name in objectives]
    labels = tuple(batch.label_weights.get(key) for key in keys) if batch.label_weights else ()
    targets = tuple(batch.arrays[key] for key in keys)
    return StepInput(
        inputs_in(batch.arrays),
        targets,
        batch.weights,
        batch.global_samples,
        ranks,
        batch.filler,
        labels,
        batch.targets_per_row,
    )


def _seconds_to_next(step_range: StepRange, step: int, agreement: _Agreement, *, saving: bool) -> float | None:
    """Returns the seconds to the next synchronisation point; None if anything else than steps comes before it."""
    epoch, hooks, following = step_range.steps_per_epoch, agreement.hooks, min(agreement.next, step_range.stop)
    validates = hooks.epoch_ended is not None and (step % epoch == 0 or (following - 1) // epoch > step // epoch)
    other = saving or validates or hooks.sync_point is not None or step == step_range.stop
    return None if other else (following - step) * agreement.pace


def _progress(step_range: StepRange, step: int, agreement: _Agreement, *, saving: bool) -> StepProgress:
    losses, pace = agreement.losses, agreement.pace
    return StepProgress(
        task=step_range.task,
        layer=step_range.layer,
        epoch=(step - 1) // step_range.steps_per_epoch,
        loss=float(losses[-1].sum()) if len(losses) else None,
        samples_per_second=step_range.batch_size / pace if pace > 0 else 0.0,
        fraction=(step - step_range.start) / max(step_range.stop - step_range.start, 1),
        step=step - step_range.start,
        steps_per_second=1 / pace if pace > 0 else 0.0,
        seconds_to_next=_seconds_to_next(step_range, step, agreement, saving=saving),
    )
