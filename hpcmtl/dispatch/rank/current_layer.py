"""The layer that a rank was ordered last, as its control thread knows it: is the main thread in it, or stuck there?"""

from __future__ import annotations

import math
import time
from dataclasses import replace
from typing import TYPE_CHECKING

from hpcmtl.dispatch.membership.survivors import SurvivorReport, renumber_report, surviving_block
from hpcmtl.dispatch.protocol import LayerDone, LayerFailed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hpcmtl.dispatch.protocol import Report, RunLayer
    from hpcmtl.dispatch.rank.communicators import RankCommunicators

# A layer whose group lost a rank is over on all others as soon as they communicate; who takes longer is lost as well.
STUCK_SECONDS = 30.0


class CurrentLayer:
    """Of the control thread alone.

    Attributes:
        layer: that was ordered last; None before the first.
        training: whether the main thread is in it, or will be.
    """

    def __init__(self, comms: RankCommunicators) -> None:
        self.layer: RunLayer | None = None
        self.training = False
        self._comms = comms
        self._over: LayerDone | LayerFailed | None = None  # what the main thread said of it
        self._stuck_at = math.inf  # when the main thread must be out of a layer that lost a rank

    @property
    def number(self) -> int:
        """See `RunLayer.number`; 0 before the first."""
        return 0 if self.layer is None else self.layer.number

    def begin(self, command: RunLayer) -> None:
        """The layer was ordered."""
        self.training, self.layer, self._over = True, command, None

    def own(self, report: Report, rank: int) -> Report:
        """A report of the main thread, which may not have heard yet how ranks are numbered now."""
        if isinstance(report, LayerDone | LayerFailed):
            assert self.layer is not None, "the main thread reports on a layer that nobody ordered"
            self.training, self._stuck_at = False, math.inf
            report = self._over = renumber_report(report, rank, self.layer.block)
        return report

    def abandon(self, number: int) -> None:
        """Give up the group of a layer; if it is this one, its main thread must soon be out of it."""
        self._comms.give_up(number)
        if self.training and self.number == number:
            self._stuck_at = min(self._stuck_at, time.monotonic() + STUCK_SECONDS)

    def stuck(self) -> bool:
        """Whether the main thread has not come out of a layer that lost a rank, though its group is taken away."""
        if self._stuck_at < math.inf:
            self._comms.enforce()
        return time.monotonic() > self._stuck_at

    def renumber(self, survivors: Sequence[int]) -> None:
        """Know the layer by the ranks of now; if its group lost one, nobody may wait in it."""
        if self.layer is None:
            return
        left = surviving_block(self.layer.block, survivors)
        if len(left) < self.layer.width and self.training:
            self.abandon(self.layer.number)
        self.layer = replace(self.layer, first_rank=left.start, width=len(left), owners=())

    def survivor_report(self, rank: int, survivors: Sequence[int], done: int, signal: str) -> SurvivorReport:
        """What this rank says when others were lost, see `SurvivorReport`."""
        if self.layer is None:
            return SurvivorReport(rank, done, signal=signal)
        report = (
            None
            if self._over is None
            else renumber_report(self._over, rank, surviving_block(self.layer.block, survivors))
        )
        return SurvivorReport(rank, done, self.layer.number, report, signal)
