"""Reports of a wide group, gathered on their way, so that rank 0 gets few messages for a layer of many ranks.

The members form a tree: each waits for the word of up to `FAN` others before it passes on its own. Of a narrow group
each member tells rank 0 itself. Failures are told to rank 0 at once, and to the tree that there is nothing to wait for.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from hpcmtl.dispatch.protocol import LayerDone

if TYPE_CHECKING:
    from hpcmtl.dispatch.protocol import LayerFailed

FAN = 16


class ReportReduction:
    """What one rank has heard from those below it; for its control thread alone."""

    def __init__(self, rank: int, since: int = 0) -> None:
        """Begin.

        Args:
            rank: this one.
            since: layers up to this number are not gathered: their ranks were numbered otherwise when they began.
        """
        self._rank, self._since = rank, since
        self._heard: dict[int, list[LayerDone]] = {}

    def take(self, report: LayerDone) -> tuple[int, LayerDone] | None:
        """Take in a report of this rank or of one below it.

        Returns:
            The rank to tell and what, once all who are waited for have reported.
        """
        if len(report.block) <= FAN or self._rank not in report.block or report.number <= self._since:
            return 0, report
        heard = self._heard.setdefault(report.number, [])
        heard.append(report)
        if len(heard) <= below(self._rank, report.block):
            return None
        del self._heard[report.number]
        ranks = tuple(rank for each in heard for rank in each.ranks)
        outcome = next((each.outcome for each in heard if each.outcome is not None), None)
        return above(self._rank, report.block), replace(report, rank=self._rank, ranks=ranks, outcome=outcome)

    def failed(self, report: LayerFailed) -> tuple[int, LayerDone] | None:
        """Wait no longer for this rank's report of a layer that failed; as `take`."""
        if len(report.block) <= FAN or report.number <= self._since:
            return None
        return self.take(LayerDone(self._rank, report.task, report.layer, None, report.block, report.number))


def above(rank: int, block: range) -> int:
    """Whom a member of a group reports to; rank 0 of the world for the first of them."""
    place = rank - block.start
    return block.start + (place - 1) // FAN if place else 0


def below(rank: int, block: range) -> int:
    """How many members report to one of them."""
    first = FAN * (rank - block.start) + 1
    return len(range(first, min(first + FAN, len(block))))
