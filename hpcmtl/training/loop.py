"""Loop over the optimizer steps of one task layer, with synchronisation points of the group in between."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from hpcmtl import faults
from hpcmtl.results.step_progress import StepProgress
from hpcmtl.training.agreement import Agreement
from hpcmtl.training.batch_input import step_input_of
from hpcmtl.training.learner import STEPS_IN_FLIGHT
from hpcmtl.training.loss_totals import NO_LOSSES, LossTotals, share_of
from hpcmtl.training.schedule import learning_rate

if TYPE_CHECKING:
    from collections.abc import Iterable

    from hpcmtl.communicators.base import Communicator
    from hpcmtl.data.batches import Batch
    from hpcmtl.training.replica import Replica
    from hpcmtl.training.step_input import StepInput
    from hpcmtl.training.step_range import Hooks, StepRange

TARGET = "target/"


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
    agreement = Agreement(step_range, group, hooks)
    result, targets = StepsResult(step_range.start), [TARGET + name for name in step_range.losses]
    named = {name: TARGET + name for name in step_range.objectives}
    for batch in batches:
        step = result.next_step
        faults.step_point(step_range.task, step_range.layer, step - step_range.of_layer.start, replica.learner.views)
        given = step_input_of(batch, named, group.size, step_range.consistency)
        rate = learning_rate(agreement.schedule, step)
        _compare_once(replica, given, rate, agreement)
        replica.step(given, rate, step)
        agreement.shares.append(share_of(batch, targets, step_range.batch_size))
        result.next_step = step = step + 1
        hooks.recorder.step_done(step, rate)
        end = _after_step(replica, agreement, step)
        result.stopped = end.stopped
        if end.stopped:
            agreement.agree(step, replica.collect_losses(), stop=True)
        if end.stopped or end.ended:
            break
    result.losses = agreement.totals().means(step_range.losses)
    result.totals = agreement.carried(result.next_step)
    return result


def _compare_once(replica: Replica, given: StepInput, rate: float, agreement: Agreement) -> None:
    if not replica.compared:
        found = replica.compare_first_step(agreement.step_range.task, given, rate, agreement.group)
        agreement.hooks.compared(found)


class _StepEnd(NamedTuple):
    """Holds whether a layer is stopped after a step, and whether the end of an epoch ends the loop."""

    stopped: bool
    ended: bool


def _after_step(replica: Replica, agreement: Agreement, step: int) -> _StepEnd:
    """Does what is due between two steps: agreement, exchange of parameters, end of an epoch, and checkpoint."""
    step_range, hooks = agreement.step_range, agreement.hooks
    epoch, rest = divmod(step, step_range.steps_per_epoch)
    last, layer_ends = step == step_range.stop, step == step_range.of_layer.stop
    epoch_ends = rest == 0 and hooks.epoch_ended is not None
    stopped = ended = saving = False
    if step >= agreement.next or last or epoch_ends:
        saving = agreement.saving and hooks.save is not None and not last
        stopped = _synchronise(replica, agreement, step, drained=last or epoch_ends) and not layer_ends
    if saving and not stopped and hooks.sync_point is not None:
        saving = _saved(agreement, step)  # the exchange belongs to what comes after the checkpoint
    if hooks.sync_point is not None and not stopped:
        stopped = hooks.sync_point(step) and not layer_ends
    if epoch_ends and hooks.epoch_ended is not None:
        ended = hooks.epoch_ended(epoch - 1, agreement.totals().means(step_range.losses))
    if saving and not (stopped or ended):
        _saved(agreement, step)
    return _StepEnd(stopped, ended)


def _saved(agreement: Agreement, step: int) -> bool:
    """Makes a checkpoint; returns that none is due any more."""
    assert agreement.hooks.save is not None, "a checkpoint is due"
    agreement.hooks.save(step, agreement.carried(step))
    return False


def _synchronise(replica: Replica, agreement: Agreement, step: int, *, drained: bool) -> bool:
    """Synchronises the group after `step` steps, with all losses if `drained`; returns whether to stop."""
    step_range, hooks, saving = agreement.step_range, agreement.hooks, agreement.saving
    in_flight = 0 if drained or saving else STEPS_IN_FLIGHT
    stop = agreement.agree(step, replica.collect_losses(in_flight), hooks.stop_requested())
    if agreement.group.rank == 0:
        hooks.report(_progress(step_range, step, agreement, saving=saving or stop))
    return stop


def _seconds_to_next(step_range: StepRange, step: int, agreement: Agreement, *, saving: bool) -> float | None:
    """Returns the seconds to the next synchronisation point; None if anything else than steps comes before it."""
    epoch, hooks, following = step_range.steps_per_epoch, agreement.hooks, min(agreement.next, step_range.stop)
    validates = hooks.epoch_ended is not None and (step % epoch == 0 or (following - 1) // epoch > step // epoch)
    other = saving or validates or hooks.sync_point is not None or step == step_range.stop
    return None if other else (following - step) * agreement.pace


def _progress(step_range: StepRange, step: int, agreement: Agreement, *, saving: bool) -> StepProgress:
    losses, pace, whole = agreement.losses, agreement.pace, step_range.of_layer
    return StepProgress(
        task=step_range.task,
        layer=step_range.layer,
        epoch=(step - 1) // step_range.steps_per_epoch,
        loss=float(losses[-1].sum()) if len(losses) else None,
        samples_per_second=step_range.batch_size / pace if pace > 0 else 0.0,
        fraction=(step - whole.start) / max(len(whole), 1),
        step=step - whole.start,
        steps_per_second=1 / pace if pace > 0 else 0.0,
        seconds_to_next=_seconds_to_next(step_range, step, agreement, saving=saving),
    )
