"""The control thread of a rank: it carries commands and reports while the main thread trains.

Rank 0's also runs the dispatcher. All messages of a job's course travel on one communicator that only this thread uses.
"""

from __future__ import annotations

import logging
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING

from hpcmtl.communicators.base import RankLostError
from hpcmtl.communicators.polling import Backoff, Message, next_message
from hpcmtl.dispatch.coordinator.state import UnrecoverableError
from hpcmtl.dispatch.health.beats import Heartbeats
from hpcmtl.dispatch.health.watchdog import FenceCommand
from hpcmtl.dispatch.membership.rebuild import AttemptAbandonedError, not_for_ever, rebuild_world
from hpcmtl.dispatch.membership.survivors import SurvivorReport, renumbered
from hpcmtl.dispatch.protocol import (
    Abandon,
    EndOfJob,
    LayerDone,
    LayerFailed,
    Renumbered,
    RunLayer,
    SetRate,
    StopLayer,
    StopRequest,
    StopTraining,
)
from hpcmtl.dispatch.rank.current_layer import CurrentLayer
from hpcmtl.dispatch.transport.reduction import ReportReduction
from hpcmtl.dispatch.transport.stream import CommandReceiver, CommandSender
from hpcmtl.errors import ExitCode
from hpcmtl.exchange.peer_transfer import Question
from hpcmtl.training.orders import LayerOrders

if TYPE_CHECKING:
    from collections.abc import Iterable

    from hpcmtl.communicators.base import Communicator, SendHandle
    from hpcmtl.dispatch.coordinator.coordinator import Coordinator
    from hpcmtl.dispatch.coordinator.state import Order
    from hpcmtl.dispatch.health.heartbeat import HeartbeatSender
    from hpcmtl.dispatch.protocol import Command, Report
    from hpcmtl.dispatch.rank.channels import ThreadChannels
    from hpcmtl.exchange.peer_transfer import PeerTransfer

_log = logging.getLogger(__name__)

# How long the thread may wait for a message before it looks at the clock and for signals again.
_LOOK_ROUND_SECONDS = 0.1
# Between two looks for messages, at most: beside a layer, which needs the core more, and while the rank has none.
_BUSY_PAUSE, _IDLE_PAUSE = 0.01, 0.003
# As long as messages are under way: some transports get on with them only when they are looked at.
_WHILE_SENDING = 0.002


class ControlThread(threading.Thread):
    """Runs until the end of the job; an error in it ends the whole run, since nobody could be told of anything else."""

    def __init__(
        self,
        comm: Communicator,
        channels: ThreadChannels,
        coordinator: Coordinator | None,
        peer_transfer: PeerTransfer | None = None,
        heartbeat: HeartbeatSender | None = None,
    ) -> None:
        """Get ready.

        Args:
            comm: a duplicate of the world for this thread alone.
            channels: shared with the main thread.
            coordinator: on rank 0.
            peer_transfer: answers other ranks' questions for artifacts.
            heartbeat: of this rank, on the same communicator; on all ranks or on none.
        """
        super().__init__(name="control", daemon=True)
        self._comm = comm
        self._world: Communicator | None = None  # of the main thread, once ranks were lost
        self._channels = channels
        self._coordinator = coordinator
        self._peer_transfer = peer_transfer
        self._reduction = ReportReduction(comm.rank)
        self._heartbeat = heartbeat
        self._sending: list[SendHandle] = []
        self._backoff = Backoff()
        self._ended = self._closing = self._told_signal = False
        self._current = CurrentLayer(channels.comms)

    def run(self) -> None:
        """Carry messages."""
        try:
            self._stream = self._comm.dup()  # of this thread's own, so that reports and commands do not mix
            self._sender = CommandSender(self._stream, threading.Event())
            self._receiver = CommandReceiver(self._stream)
            begun = False
            while not self._ended:
                try:
                    if not begun:
                        begun = True
                        self._begin()
                    self._turn()
                except RankLostError as error:
                    self._go_on(error)
            with suppress(RankLostError):  # who dies now takes nothing with it
                self._close()
        except AttemptAbandonedError as error:
            self._abandon_attempt(error)
        except (UnrecoverableError, OSError) as error:  # an OSError here is a disk's: the ledger is not kept
            _log.error("the run is ended: %s", error)
            _log.debug("by this", exc_info=True)
            self._comm.abort(ExitCode.TASK_FAILED)
        except BaseException:  # noqa: BLE001 - whatever it is, the other ranks would wait for ever
            _log.exception("the control thread of rank %d failed; the run is ended", self._comm.rank)
            self._comm.abort(ExitCode.TASK_FAILED)
        finally:
            self._channels.commands.put(EndOfJob())  # where an abort only raises, the worker must not wait for ever

    def _begin(self) -> None:
        try:
            self._comm.barrier()  # nobody may die before all have the stream
        finally:
            if self._coordinator is not None:
                self._give(self._coordinator.start(time.monotonic()))

    def _close(self) -> None:
        if self._heartbeat is not None:
            self._heartbeat.stop()
        for handle in self._sending:
            handle.wait()
        self._sender.close()
        self._receiver.close()
        self._stream.free()

    def _go_on(self, error: RankLostError) -> None:
        """Go on in a smaller world, see `rebuild_world`."""
        comms = self._channels.comms
        world = comms.world if self._world is None else self._world
        assert world is not None, "the main thread has its world before this thread begins"
        _log.warning("a rank was lost: %s", error)
        if self._peer_transfer is not None:
            self._peer_transfer.give_up()
        with not_for_ever(self._comm, comms.patience):
            given_up = (self._stream, world, *comms.parameter_exchange)
            made = rebuild_world(
                self._comm, given_up, self._survivor_report, abandon_attempt=bool(comms.parameter_exchange)
            )
        self._comm, self._stream, self._world, self._sending = made.control, made.stream, made.world, []
        self._receiver.move(made.stream)
        self._reduction = ReportReduction(made.control.rank, self._current.number)
        if self._heartbeat is not None:
            self._heartbeat = self._heartbeat.among(made.control, made.survivors)
        self._channels.renumber(Renumbered(made.survivors, made.world))
        self._current.renumber(made.survivors)
        if self._coordinator is not None:
            done = [call.done for call in made.calls]
            self._sender.move(made.stream, made.survivors, done, renumbered)
            self._give(self._coordinator.lose(made.survivors, made.calls, time.monotonic()))

    def _abandon_attempt(self, error: AttemptAbandonedError) -> None:
        """Have the main thread come back; from its next step, with a checkpoint, where its group is whole."""
        if self._heartbeat is not None and self._coordinator is not None:
            self._heartbeat.among(error.survivors_comm, error.survivors)  # names who was lost
        self._channels.abandoned = str(error)
        self._channels.stop_requested.set()
        self._channels.renumber(Renumbered(error.survivors, error.survivors_comm))
        self._current.renumber(error.survivors)
        if (
            self._channels.comms.parameter_exchange
        ):  # the rank of a group that waits for another task comes out: so must the others
            self._channels.comms.give_up(self._current.number)
        while self._current.training:
            self._channels.wake.wait(_LOOK_ROUND_SECONDS)
            self._channels.comms.enforce()
            if self._current.stuck():
                self._self_terminate()
            for report in self._channels.take_reports():
                self._current.own(report, self._comm.rank)

    def _survivor_report(self, rank: int, survivors: tuple[int, ...]) -> SurvivorReport:
        return self._current.survivor_report(rank, survivors, self._receiver.done, self._channels.signal)

    def _turn(self) -> None:
        if self._current.stuck():
            self._self_terminate()
        for report in self._channels.take_reports():
            self._backoff.end()
            self._pass_on(self._current.own(report, self._comm.rank))
        if self._channels.signal and not self._told_signal:
            self._pass_on(StopRequest(self._comm.rank, self._channels.signal))
            self._told_signal = True
        if self._closing and self._sender.all_done():
            self._obey(EndOfJob())
        if self._ended:
            return
        pause = _WHILE_SENDING if self._sending or self._closing else _LOOK_ROUND_SECONDS
        # What comes on the stream at rank 0 is not for here: who sends commands hears there what has been done.
        commands = self._stream if self._coordinator is None else None
        longest = _BUSY_PAUSE if self._current.training else _IDLE_PAUSE
        message = next_message(self._comm, self._channels.wake, pause, commands, longest=longest, backoff=self._backoff)
        if message is not None:
            self._take(message)
        if self._coordinator is not None:
            self._give(self._coordinator.check(time.monotonic()))
        if self._heartbeat is not None:
            self._heartbeat.turn()
        self._sending = [handle for handle in self._sending if not handle.test()]

    def _self_terminate(self) -> None:
        """End this process as one that is lost: its main thread does not come out of a layer whose group has gone."""
        layer = self._current.layer
        assert layer is not None
        text = f"rank {self._comm.rank} is stuck in task {layer.task}, layer {layer.layer}, whose group lost a rank"
        if self._coordinator is not None and not self._channels.abandoned:
            raise UnrecoverableError(text)
        _log.error("%s: it ends itself", text)
        self._comm.die()

    def _take(self, message: Message) -> None:
        if message.comm is self._stream:
            self._receiver.take(message, self._obey)
        elif isinstance(message.value, Question):
            assert self._peer_transfer is not None, f"rank {message.source} asks for an artifact where none is kept"
            self._sending += self._peer_transfer.serve(message.source, message.value)
        elif isinstance(message.value, Heartbeats | FenceCommand):
            if self._heartbeat is not None:
                self._heartbeat.take(message.value, message.source)
        else:
            self._pass_on(message.value)

    def _pass_on(self, report: Report) -> None:
        if self._heartbeat is not None:
            self._heartbeat.note(report)
        if isinstance(report, LayerDone):
            self._tell(self._reduction.take(report))
            return
        self._tell((0, report))
        if isinstance(report, LayerFailed) and report.rank == self._comm.rank:
            self._tell(self._reduction.failed(report))

    def _tell(self, word: tuple[int, Report] | None) -> None:
        """Send a report to a rank, or to the dispatcher if it is here."""
        if word is None:
            return
        rank, report = word
        if rank != self._comm.rank:
            self._sending.append(self._comm.isend(report, rank))
        elif self._coordinator is not None:
            self._give(self._coordinator.handle(report, time.monotonic()))

    def _give(self, orders: Iterable[Order]) -> None:
        for order in orders:
            command, others = order.command, [rank for rank in order.ranks if rank != self._comm.rank]
            if others:
                self._sender.post(command, others, told=isinstance(command, EndOfJob))
            if isinstance(command, EndOfJob):
                self._closing = True  # nothing may be under way when the stream is given back
            elif self._comm.rank in order.ranks:
                self._obey(command)

    def _obey(self, command: Command) -> None:
        if self._heartbeat is not None:
            self._heartbeat.note(command)
        if isinstance(command, StopTraining):
            self._channels.stop_requested.set()
            return
        if isinstance(command, StopLayer):
            self._channels.layer.stop.set()
            return
        if isinstance(command, SetRate):
            self._channels.layer.order(command.rate)
            return
        if isinstance(command, Abandon):
            self._current.abandon(command.number)
            return
        if isinstance(command, RunLayer):  # what is ordered from now on is for this layer: the main thread runs none
            self._channels.layer = LayerOrders(command.layer, command.rate, self._channels.record, command.number)
            self._current.begin(command)
        self._channels.commands.put(command)
        self._ended = self._ended or isinstance(command, EndOfJob)
