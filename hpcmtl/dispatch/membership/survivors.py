"""What becomes of numbers of ranks when some are lost: those that live keep their order and are numbered anew. Pure.

`survivors` are everywhere the old numbers of the ranks that live, in order: rank i of now was `survivors[i]` before.
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from hpcmtl.dispatch.protocol import Abandon, LayerDone, LayerFailed, RunLayer

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from hpcmtl.dispatch.coordinator.state import TaskState
    from hpcmtl.dispatch.protocol import Command


@dataclass(frozen=True)
class SurvivorReport:
    """What a rank last knows when some are lost, since messages were lost with them.

    Attributes:
        rank: who says so, as it is numbered now.
        done: commands of the stream that it has obeyed.
        number: of the last layer that it was ordered, see `RunLayer`; 0 for none.
        report: what became of that layer, if it is over here.
        signal: that the process got.
    """

    rank: int
    done: int = 0
    number: int = 0
    report: LayerDone | LayerFailed | None = None
    signal: str = ""


def surviving_block(block: range, survivors: Sequence[int]) -> range:
    """The ranks of a block that live, as they are numbered now."""
    return range(bisect_left(survivors, block.start), bisect_left(survivors, block.stop))


def intact_block(block: range | None, survivors: Sequence[int]) -> range | None:
    """A block as it is numbered now; None if it lost a rank."""
    left = None if block is None else surviving_block(block, survivors)
    return None if block is None or left is None or len(left) < len(block) else left


def renumbered(command: Command) -> Command:
    """What becomes of a command that a rank had not obeyed when others were lost.

    A layer cannot begin any more: its group would be made in the smaller world here, and others of its ranks have made
    it in the old one.
    """
    return Abandon(command.number) if isinstance(command, RunLayer) else command


def not_started(command: RunLayer, rank: int) -> LayerFailed:
    """What a rank says of a layer that it had not begun when others were lost."""
    text = "a rank was lost before it began"
    return LayerFailed(rank, command.task, command.layer, text, "", command.block, command.number, lost=True)


def renumber_report(report: LayerDone | LayerFailed, rank: int, block: range) -> LayerDone | LayerFailed:
    """A rank's own report as it reads now."""
    if isinstance(report, LayerDone):
        return replace(report, rank=rank, block=block, ranks=(rank,))
    return replace(report, rank=rank, block=block)


def renumber(tasks: Mapping[str, TaskState], survivors: Sequence[int], calls: Sequence[SurvivorReport]) -> None:
    """Have the states of all tasks name ranks as they are numbered now, and note which layers cannot end.

    These are those that lost a rank, and those that a rank never heard of: it counts as one that has reported.
    """
    new = {old: number for number, old in enumerate(survivors)}
    for state in tasks.values():
        state.held, state.place, state.owner = (
            intact_block(state.held, survivors),
            intact_block(state.place, survivors),
            None,
        )
        running = state.running
        if running is None:
            continue
        left = surviving_block(running.block, survivors)
        running.reported = {new[rank] for rank in running.reported if rank in new}
        unheard = [rank for rank in left if calls[rank].number != running.number]
        if len(left) < len(running.block) or unheard:
            running.lost_rank, running.deadline = True, None
            running.reported.update(unheard)
        running.block = left


def missed(tasks: Mapping[str, TaskState], call: SurvivorReport) -> bool:
    """Whether the dispatcher has not taken in what a rank says of its layer."""
    report = call.report
    running = None if report is None else tasks[report.task].running
    return (
        report is not None
        and running is not None
        and running.number == report.number
        and call.rank not in running.reported
    )
