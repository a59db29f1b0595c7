"""The control thread of a rank: it carries commands and reports while the main thread trains.

Rank 0's also runs the dispatcher. All messages of a job's course travel on one communicator that only this thread uses.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from typing import TYPE_CHECKING

from hpcmtl.communicators.mailbox import next_message
from hpcmtl.dispatch.commands import EndOfJob, Progressed, StopTraining, StopWanted
from hpcmtl.dispatch.dispatcher import HopelessError
from hpcmtl.dispatch.heartbeat import Beats
from hpcmtl.errors import ExitCode

if TYPE_CHECKING:
    from collections.abc import Iterable

    from hpcmtl.communicators.base import Communicator, SendHandle
    from hpcmtl.dispatch.commands import Command, Report
    from hpcmtl.dispatch.dispatcher import Dispatcher
    from hpcmtl.dispatch.heartbeat import Heart
    from hpcmtl.dispatch.state import Order
    from hpcmtl.results.progress import StepProgress

_log = logging.getLogger(__name__)

# How long the thread may wait for a message before it looks at the clock and for signals again.
_LOOK_ROUND_SECONDS = 0.05


class Mailboxes:
    """What the main thread and the control thread of one rank leave for each other."""

    def __init__(self) -> None:
        self.commands: queue.SimpleQueue[Command] = queue.SimpleQueue()
        self.stop_requested = threading.Event()
        self.signal = ""  # name of a signal that the process got; set by its handler, read by the control thread
        self._reports: queue.SimpleQueue[Report] = queue.SimpleQueue()
        self.wake = threading.Event()

    def report(self, report: Report) -> None:
        """Leave a report for the dispatcher."""
        self._reports.put(report)
        self.wake.set()

    def progress(self, progress: StepProgress) -> None:
        """Leave word of how far a layer is."""
        self.report(Progressed(progress))

    def take_reports(self) -> Iterable[Report]:
        """All reports that are waiting."""
        self.wake.clear()
        while not self._reports.empty():
            yield self._reports.get()


class ControlThread(threading.Thread):
    """Runs until the end of the job; an error in it ends the whole run, since nobody could be told of anything else."""

    def __init__(
        self, comm: Communicator, boxes: Mailboxes, dispatcher: Dispatcher | None, heart: Heart | None = None
    ) -> None:
        """Get ready.

        Args:
            comm: a duplicate of the world for this thread alone.
            boxes: shared with the main thread.
            dispatcher: on rank 0.
            heart: of this rank, on the same communicator; on all ranks or on none.
        """
        super().__init__(name="control", daemon=True)
        self._comm = comm
        self._boxes = boxes
        self._dispatcher = dispatcher
        self._heart = heart
        self._sending: list[SendHandle] = []
        self._ended = False
        self._told_signal = False

    def run(self) -> None:
        """Carry messages."""
        try:
            if self._dispatcher is not None:
                self._give(self._dispatcher.start(time.monotonic()))
            while not self._ended:
                self._turn()
            if self._heart is not None:
                self._heart.stop()
            for handle in self._sending:
                handle.wait()
        except HopelessError as error:
            _log.error("the run is ended: %s", error)
            self._comm.abort(ExitCode.TASK_FAILED)
        except BaseException:  # noqa: BLE001 - whatever it is, the other ranks would wait for ever
            _log.exception("the control thread of rank %d failed; the run is ended", self._comm.rank)
            self._comm.abort(ExitCode.TASK_FAILED)
        finally:
            self._boxes.commands.put(EndOfJob())  # where an abort only raises, the worker must not wait for ever

    def _turn(self) -> None:
        for report in self._boxes.take_reports():
            self._pass_on(report)
        if self._boxes.signal and not self._told_signal:
            self._told_signal = True
            self._pass_on(StopWanted(self._comm.rank, self._boxes.signal))
        if self._ended:
            return
        message = next_message(self._comm, self._boxes.wake, _LOOK_ROUND_SECONDS)
        if message is not None and isinstance(message.value, Beats):
            if self._heart is not None:
                self._heart.take(message.value)
        elif message is not None and self._dispatcher is not None:
            self._pass_on(message.value)
        elif message is not None:
            self._obey(message.value)
        if self._dispatcher is not None:
            self._give(self._dispatcher.check(time.monotonic()))
        if self._heart is not None:
            self._heart.turn()
        self._sending = [handle for handle in self._sending if not handle.test()]

    def _pass_on(self, report: Report) -> None:
        if self._heart is not None:
            self._heart.note(report)
        if self._dispatcher is None:
            self._sending.append(self._comm.isend(report, 0))
        else:
            self._give(self._dispatcher.handle(report, time.monotonic()))

    def _give(self, orders: Iterable[Order]) -> None:
        for order in orders:
            if order.rank == self._comm.rank:
                self._obey(order.command)
            else:
                self._sending.append(self._comm.isend(order.command, order.rank))

    def _obey(self, command: Command) -> None:
        if self._heart is not None:
            self._heart.note(command)
        if isinstance(command, StopTraining):
            self._boxes.stop_requested.set()
            return
        self._boxes.commands.put(command)
        self._ended = self._ended or isinstance(command, EndOfJob)
