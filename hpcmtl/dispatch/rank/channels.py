"""What the main thread and the control thread of a rank leave for each other."""

from __future__ import annotations

import queue
import threading
from contextlib import suppress
from typing import TYPE_CHECKING

from hpcmtl.dispatch.membership.survivors import not_started
from hpcmtl.dispatch.protocol import EventReport, ProgressReport, Renumbered, RunLayer
from hpcmtl.dispatch.rank.communicators import RankCommunicators
from hpcmtl.training.orders import LayerOrders

if TYPE_CHECKING:
    from collections.abc import Iterable

    from hpcmtl.dispatch.protocol import Command, Report
    from hpcmtl.results.events import RunEvent
    from hpcmtl.results.step_progress import StepProgress


class ThreadChannels:
    """What the main thread and the control thread of one rank leave for each other."""

    def __init__(self) -> None:
        self.commands: queue.SimpleQueue[Command] = queue.SimpleQueue()
        self.stop_requested = threading.Event()
        self.layer = LayerOrders()  # of the layer that the rank runs, or last ran
        self.abandoned = (
            ""  # why this attempt was given up, see `AttemptAbandonedError`; the ground's world is then who lives
        )
        self.signal = ""  # name of a signal that the process got; set by its handler, read by the control thread
        self._reports: queue.SimpleQueue[Report] = queue.SimpleQueue()
        self.wake = threading.Event()
        self.comms = RankCommunicators()
        self.owners: dict[str, int] = {}  # task -> rank that answers for its artifact; of the main thread alone

    def report(self, report: Report) -> None:
        """Leave a report for the dispatcher."""
        self._reports.put(report)
        self.wake.set()

    def progress(self, progress: StepProgress) -> None:
        """Leave word of how far a layer is."""
        self.report(ProgressReport(progress))

    def record(self, event: RunEvent) -> None:
        """Sends an event to the ledger; any thread may call it."""
        self.report(EventReport(event))

    def should_stop(self) -> bool:
        """Whether the layer that runs is to stop, by itself or with the whole job."""
        return self.stop_requested.is_set() or self.layer.stop.is_set()

    def renumber(self, news: Renumbered) -> None:
        """Have the main thread learn of lost ranks before it obeys what is waiting."""
        waiting = []
        with suppress(queue.Empty):
            while True:
                waiting.append(self.commands.get_nowait())
        waiting.insert(sum(isinstance(command, Renumbered) for command in waiting), news)  # they come first of all
        for command in waiting:
            if isinstance(command, RunLayer):  # the main thread will say nothing of a layer that it never sees
                self.report(not_started(command, news.world.rank))
            else:
                self.commands.put(command)

    def take_reports(self) -> Iterable[Report]:
        """All reports that are waiting."""
        self.wake.clear()
        while not self._reports.empty():
            yield self._reports.get()
