"""The control thread of a rank: it carries commands and reports while the main thread trains.

Rank 0's also runs the dispatcher. All messages of a job's course travel on one communicator that only this thread uses.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from hpcmtl.communicators.mailbox import Message, Silence, next_message
from hpcmtl.dispatch.commands import (
    EndOfJob,
    LayerDone,
    LayerFailed,
    Noted,
    Progressed,
    RunLayer,
    SetRate,
    StopLayer,
    StopTraining,
    StopWanted,
)
from hpcmtl.dispatch.gathering import Gathering
from hpcmtl.dispatch.heartbeat import Beats
from hpcmtl.dispatch.state import HopelessError
from hpcmtl.dispatch.stream import CommandReceiver, CommandSender
from hpcmtl.dispatch.watchdog import Kill
from hpcmtl.errors import ExitCode
from hpcmtl.exchange.handover import Question
from hpcmtl.training.orders import LayerOrders

if TYPE_CHECKING:
    from collections.abc import Iterable

    from hpcmtl.communicators.base import Communicator, SendHandle
    from hpcmtl.dispatch.commands import Command, Report
    from hpcmtl.dispatch.heartbeat import Heart
    from hpcmtl.dispatch.state import Order, Steersman
    from hpcmtl.exchange.handover import Handover
    from hpcmtl.results.progress import StepProgress
    from hpcmtl.training.orders import RateTaken

_log = logging.getLogger(__name__)

# How long the thread may wait for a message before it looks at the clock and for signals again.
_LOOK_ROUND_SECONDS = 0.1
# Between two looks for messages, at most: beside a layer, which needs the core more, and while the rank has none.
_BUSY_PAUSE, _IDLE_PAUSE = 0.01, 0.003
# As long as messages are under way: some transports get on with them only when they are looked at.
_WHILE_SENDING = 0.002


class Mailboxes:
    """What the main thread and the control thread of one rank leave for each other."""

    def __init__(self) -> None:
        self.commands: queue.SimpleQueue[Command] = queue.SimpleQueue()
        self.stop_requested = threading.Event()
        self.layer = LayerOrders()  # of the layer that the rank runs, or last ran
        self.signal = ""  # name of a signal that the process got; set by its handler, read by the control thread
        self._reports: queue.SimpleQueue[Report] = queue.SimpleQueue()
        self.wake = threading.Event()
        self.homes: dict[str, int] = {}  # task -> rank that answers for its artifact; of the main thread alone

    def report(self, report: Report) -> None:
        """Leave a report for the dispatcher."""
        self._reports.put(report)
        self.wake.set()

    def progress(self, progress: StepProgress) -> None:
        """Leave word of how far a layer is."""
        self.report(Progressed(progress))

    def rate_taken(self, taken: RateTaken) -> None:
        """Leave word that a learning rate has taken effect."""
        self.note("rate_taken", **asdict(taken))

    def note(self, event: str, **facts: Any) -> None:
        """Leave an event for the ledger."""
        self.report(Noted(event, facts))

    def should_stop(self) -> bool:
        """Whether the layer that runs is to stop, by itself or with the whole job."""
        return self.stop_requested.is_set() or self.layer.stop.is_set()

    def take_reports(self) -> Iterable[Report]:
        """All reports that are waiting."""
        self.wake.clear()
        while not self._reports.empty():
            yield self._reports.get()


class ControlThread(threading.Thread):
    """Runs until the end of the job; an error in it ends the whole run, since nobody could be told of anything else."""

    def __init__(
        self,
        comm: Communicator,
        boxes: Mailboxes,
        dispatcher: Steersman | None,
        handover: Handover | None = None,
        heart: Heart | None = None,
    ) -> None:
        """Get ready.

        Args:
            comm: a duplicate of the world for this thread alone.
            boxes: shared with the main thread.
            dispatcher: on rank 0.
            handover: answers other ranks' questions for artifacts.
            heart: of this rank, on the same communicator; on all ranks or on none.
        """
        super().__init__(name="control", daemon=True)
        self._comm = comm
        self._boxes = boxes
        self._dispatcher = dispatcher
        self._handover = handover
        self._gathering = Gathering(comm.rank)
        self._heart = heart
        self._sending: list[SendHandle] = []
        self._silence = Silence()
        self._ended = self._training = False
        self._told_signal = False

    def run(self) -> None:
        """Carry messages."""
        try:
            self._stream = self._comm.dup()  # of this thread's own, so that reports and commands do not mix
            self._sender = CommandSender(self._stream, threading.Event())
            self._receiver = CommandReceiver(self._stream)
            if self._dispatcher is not None:
                self._give(self._dispatcher.start(time.monotonic()))
            while not self._ended:
                self._turn()
            if self._heart is not None:
                self._heart.stop()
            for handle in self._sending:
                handle.wait()
            self._sender.close()
            self._receiver.close()
            self._stream.free()
        except (HopelessError, OSError) as error:  # what has an OSError here is a disk: the ledger cannot be written
            _log.error("the run is ended: %s", error)
            _log.debug("by this", exc_info=True)
            self._comm.abort(ExitCode.TASK_FAILED)
        except BaseException:  # noqa: BLE001 - whatever it is, the other ranks would wait for ever
            _log.exception("the control thread of rank %d failed; the run is ended", self._comm.rank)
            self._comm.abort(ExitCode.TASK_FAILED)
        finally:
            self._boxes.commands.put(EndOfJob())  # where an abort only raises, the worker must not wait for ever

    def _turn(self) -> None:
        for report in self._boxes.take_reports():
            self._silence.end()
            self._training = self._training and not isinstance(report, LayerDone | LayerFailed)
            self._pass_on(report)
        if self._boxes.signal and not self._told_signal:
            self._told_signal = True
            self._pass_on(StopWanted(self._comm.rank, self._boxes.signal))
        if self._ended:
            return
        pause = _WHILE_SENDING if self._sending else _LOOK_ROUND_SECONDS
        # What comes on the stream at rank 0 is not for here: who sends commands hears there what has been done.
        commands = self._stream if self._dispatcher is None else None
        longest = _BUSY_PAUSE if self._training else _IDLE_PAUSE
        message = next_message(self._comm, self._boxes.wake, pause, commands, longest=longest, silence=self._silence)
        if message is not None:
            self._take(message)
        if self._dispatcher is not None:
            self._give(self._dispatcher.check(time.monotonic()))
        if self._heart is not None:
            self._heart.turn()
        self._sending = [handle for handle in self._sending if not handle.test()]

    def _take(self, message: Message) -> None:
        if message.comm is self._stream:
            self._receiver.take(message, self._obey)
        elif isinstance(message.value, Question):
            assert self._handover is not None, f"rank {message.source} asks for an artifact where none is kept"
            self._sending += self._handover.serve(message.source, message.value)
        elif isinstance(message.value, Beats | Kill):
            if self._heart is not None:
                self._heart.take(message.value, message.source)
        else:
            self._pass_on(message.value)

    def _pass_on(self, report: Report) -> None:
        if self._heart is not None:
            self._heart.note(report)
        if isinstance(report, LayerDone):
            self._tell(self._gathering.take(report))
            return
        self._tell((0, report))
        if isinstance(report, LayerFailed) and report.rank == self._comm.rank:
            self._tell(self._gathering.failed(report))

    def _tell(self, word: tuple[int, Report] | None) -> None:
        """Send a report to a rank, or to the dispatcher if it is here."""
        if word is None:
            return
        rank, report = word
        if rank != self._comm.rank:
            self._sending.append(self._comm.isend(report, rank))
        elif self._dispatcher is not None:
            self._give(self._dispatcher.handle(report, time.monotonic()))

    def _give(self, orders: Iterable[Order]) -> None:
        for order in orders:
            command, others = order.command, [rank for rank in order.ranks if rank != self._comm.rank]
            if others and isinstance(command, EndOfJob):
                self._sender.call(command, others)  # nothing may be under way when the stream is given back
            elif others:
                self._sender.post(command, others)
            if self._comm.rank in order.ranks:
                self._obey(command)

    def _obey(self, command: Command) -> None:
        if self._heart is not None:
            self._heart.note(command)
        if isinstance(command, StopTraining):
            self._boxes.stop_requested.set()
            return
        if isinstance(command, StopLayer):
            self._boxes.layer.stop.set()
            return
        if isinstance(command, SetRate):
            self._boxes.layer.order(command.rate)
            return
        if isinstance(command, RunLayer):  # what is ordered from now on is for this layer: the main thread runs none
            self._boxes.layer = LayerOrders(command.layer, command.rate, self._boxes.rate_taken, command.number)
            self._training = True
        self._boxes.commands.put(command)
        self._ended = self._ended or isinstance(command, EndOfJob)
