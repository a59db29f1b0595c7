"""Reduces the reports of a wide group on their way, so that rank 0 gets few messages for a layer of many ranks.

The members of a group form a tree. Each waits for the reports of up to `FAN` others before it sends its own on. In a
narrow group each member reports to rank 0 itself. Failures go to rank 0 at once; the tree gets an empty report instead.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from hpcmtl.dispatch.membership.world import COORDINATOR, place_in
from hpcmtl.dispatch.protocol import LayerDone

if TYPE_CHECKING:
    from hpcmtl.dispatch.membership.world import Members
    from hpcmtl.dispatch.protocol import LayerFailed

FAN = 16


class ReportReduction:
    """The reports that one member has received from those below it; for its control thread alone."""

    def __init__(self, member: int, since: int = 0) -> None:
        """Starts without reports.

        Args:
            member: this member.
            since: number of the last layer that began before a loss. Reports on layers up to this one go to rank 0
                directly, since some of them were lost on their way through the tree.
        """
        self._member, self._since = member, since
        self._received: dict[int, list[LayerDone]] = {}

    def take(self, report: LayerDone) -> tuple[int, LayerDone] | None:
        """Takes a report of this member, of one below it, or on rank 0 of a group that it is not in.

        Rank 0 has the lowest id, so it is always the first member of a group that it belongs to.

        Returns:
            The receiver and the combined report, once all reports from below are there; else None.
        """
        group = report.group
        place = place_in(self._member, group) if len(group) > FAN and report.start_number > self._since else None
        if place is None:
            return COORDINATOR, report
        received = self._received.setdefault(report.start_number, [])
        received.append(report)
        if len(received) <= below(place, len(group)):
            return None
        del self._received[report.start_number]
        finished = tuple(member for each in received for member in each.finished)
        outcome = next((each.outcome for each in received if each.outcome is not None), None)
        return above(place, group), replace(report, member=self._member, finished=finished, outcome=outcome)

    def failed(self, report: LayerFailed) -> tuple[int, LayerDone] | None:
        """Sends an empty report for this member, whose layer failed, as `take` does; None for a narrow group."""
        if len(report.group) <= FAN or report.start_number <= self._since:
            return None
        empty = LayerDone(
            member=self._member,
            task=report.task,
            layer=report.layer,
            group=report.group,
            start_number=report.start_number,
        )
        return self.take(empty)


def above(place: int, group: Members) -> int:
    """Returns the member that gets the reports of the member at a place; the coordinator's for the first place."""
    return group[(place - 1) // FAN] if place else COORDINATOR


def below(place: int, width: int) -> int:
    """Returns the number of members that report to the one at a place of a group."""
    first = FAN * place + 1
    return len(range(first, min(first + FAN, width)))
