"""Reports of the survivors of a loss, and their consequences for the tasks of the coordinator. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from hpcmtl.dispatch.protocol import Abandon, LayerFailed, RunLayer
from hpcmtl.results import events

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from hpcmtl.dispatch.coordinator.running import Running
    from hpcmtl.dispatch.coordinator.state import TaskState
    from hpcmtl.dispatch.membership.world import World
    from hpcmtl.dispatch.protocol import Command, LayerDone


@dataclass(frozen=True, kw_only=True)
class SurvivorReport:
    """The state of a rank at a loss; messages under way were lost with the old communicators.

    Attributes:
        member: sender of the report.
        done: number of commands of the stream that its control thread has carried out, or queued for the main thread.
        start_number: that of the last layer that it was ordered, see `RunLayer`; 0 for none.
        report: its report on that layer; None while the layer is queued or runs here.
        signal: signal that the process got; empty for none.
    """

    member: int
    done: int = 0
    start_number: int = 0
    report: LayerDone | LayerFailed | None = None
    signal: str = ""


def after_loss(command: Command) -> Command:
    """Returns the command that replaces one which a rank had not executed when other ranks were lost.

    A layer cannot begin any more: this rank would make its group in the smaller world, while other members of the
    group have made it in the old one and wait there. Its start becomes an order to give it up.
    """
    return Abandon(command.start_number) if isinstance(command, RunLayer) else command


def not_started(command: RunLayer, member: int) -> LayerFailed:
    """Returns the report of a member on a layer that it had not begun when other ranks were lost."""
    return LayerFailed(
        member=member,
        task=command.task,
        layer=command.layer,
        message="a rank was lost before it began",
        group=command.group,
        start_number=command.start_number,
        lost=True,
        begun=False,
    )


def mark_lost(tasks: Mapping[str, TaskState], world: World, reports: Sequence[SurvivorReport]) -> None:
    """Removes the lost members from the states of all tasks, and marks the layers that cannot end.

    A layer cannot end if a member of its group is lost, or if a living member had not got the command to start it. Such
    a member never begins and sends no report, so it is added to `reported` here. All owners are cleared: artifacts are
    read from files from now on.

    Args:
        tasks: all tasks of the job.
        world: the members that live.
        reports: a report of each of them.
    """
    begun = {report.member: report.start_number for report in reports}
    for state in tasks.values():
        state.held, state.place, state.owner = world.intact(state.held), world.intact(state.place), None
        running = state.running
        if running is None:
            continue
        living = world.living(running.group)
        running.lost.update(set(running.group) - set(living))
        running.reported.intersection_update(living)
        without_order = [member for member in living if begun[member] != running.start_number]
        if len(living) < len(running.group) or without_order:
            running.lost_rank, running.deadline = True, None
            running.reported.update(without_order)
            running.not_begun.update(without_order)
        running.group = living


def had_begun(running: Running) -> bool:
    """Returns false if members of a layer were dead before its group was made: then the task has not ended them.

    The death of a node may be seen in two steps, and the layer that begins again in between has this end.
    """
    never = running.not_begun | {failure.member for failure in running.failures if not failure.begun}
    return not running.group or not set(running.group) <= never


def restart_of(task: str, running: Running) -> events.LayerRestarted:
    """Returns the event that the layer of a task begins again after a loss."""
    lost, not_begun = tuple(sorted(running.lost)), not had_begun(running)
    return events.LayerRestarted(task=task, layer=running.layer, lost=lost, not_begun=not_begun)


def missed(tasks: Mapping[str, TaskState], survivor: SurvivorReport) -> bool:
    """Returns whether the dispatcher has not taken in a survivor's report on its layer, which was lost on its way."""
    report = survivor.report
    running = None if report is None else tasks[report.task].running
    return (
        report is not None
        and running is not None
        and running.start_number == report.start_number
        and survivor.member not in running.reported
    )
