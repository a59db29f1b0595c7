"""Channels between the main thread and the control thread of a rank."""

from __future__ import annotations

import queue
import threading
from contextlib import suppress
from typing import TYPE_CHECKING

from hpcmtl.dispatch.membership.survivors import not_started
from hpcmtl.dispatch.protocol import EventReport, PointsReport, ProgressReport, RunLayer, WorldChanged
from hpcmtl.dispatch.rank.communicators import RankCommunicators
from hpcmtl.training.orders import LayerOrders

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from hpcmtl.dispatch.protocol import Command, Report
    from hpcmtl.results.curves.point import TaskPoints
    from hpcmtl.results.events import RunEvent
    from hpcmtl.results.step_progress import StepProgress


class ThreadChannels:
    """Queues and flags between the main thread and the control thread of one rank.

    Attributes:
        commands: commands for the main thread, in order.
        stop_requested: set when the whole job is to stop.
        layer: orders for the layer that the rank runs, or ran last.
        abandoned: reason why this attempt was abandoned, see `AttemptAbandonedError`; empty if it was not. The living
            ranks are then in `comms.main`.
        signal: name of a signal that the process got; its handler writes, the control thread reads.
        signals: returns the names of the signals that came since the last call, also while no handler could run.
        wake: set when a report waits for the control thread.
        comms: communicators of the main thread.
        owners: rank that holds the index of a task's artifact in memory, by task; for the main thread alone.
    """

    def __init__(self) -> None:
        self.commands: queue.SimpleQueue[Command] = queue.SimpleQueue()
        self.stop_requested = threading.Event()
        self.layer = LayerOrders()
        self.abandoned = ""
        self.signal = ""
        self.signals: Callable[[], list[str]] = list
        self.wake = threading.Event()
        self.comms = RankCommunicators()
        self.owners: dict[str, int] = {}
        self._reports: queue.SimpleQueue[Report] = queue.SimpleQueue()

    def report(self, report: Report) -> None:
        """Queues a report for the coordinator; any thread may call it."""
        self._reports.put(report)
        self.wake.set()

    def progress(self, progress: StepProgress) -> None:
        """Reports the progress of a layer."""
        self.report(ProgressReport(progress))

    def add_points(self, points: TaskPoints) -> None:
        """Sends new points of curves to the sinks."""
        self.report(PointsReport(points))

    def record(self, event: RunEvent) -> None:
        """Sends an event to the ledger."""
        self.report(EventReport(event))

    def begin_layer(self, command: RunLayer) -> None:
        """Makes the orders for a layer that the rank is to run."""
        self.layer = LayerOrders(command.layer, command.rate, self.record, command.start_number)

    def note_signal(self, name: str) -> None:
        """Notes a signal; after SIGTERM the time is limited, whatever follows."""
        if self.signal != "SIGTERM":
            self.signal = name

    def latest_signal(self) -> str:
        """Returns the name of the signal that counts, with those that came while no handler could run."""
        for name in self.signals():
            self.note_signal(name)
        return self.signal

    def should_stop(self) -> bool:
        """Returns whether the layer that runs is to stop, by itself or with the whole job."""
        return self.stop_requested.is_set() or self.layer.stop.is_set()

    def change_world(self, change: WorldChanged) -> None:
        """Tells the main thread of lost ranks before it executes any command that waits.

        Layers that wait to be started are dropped, and reported as not started: the main thread never sees them.
        """
        waiting: list[Command] = []
        with suppress(queue.Empty):
            while True:
                waiting.append(self.commands.get_nowait())
        waiting.insert(sum(isinstance(command, WorldChanged) for command in waiting), change)  # these come first
        for command in waiting:
            if isinstance(command, RunLayer):
                self.report(not_started(command, change.world.member_of(change.comm.rank)))
            else:
                self.commands.put(command)

    def take_reports(self) -> Iterable[Report]:
        """Yields all reports that wait."""
        self.wake.clear()
        while not self._reports.empty():
            yield self._reports.get()
