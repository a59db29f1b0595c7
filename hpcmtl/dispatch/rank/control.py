"""The control thread of a rank: it handles commands and reports while the main thread trains.

That of rank 0 also runs the coordinator. Two communicators carry the messages. On the first travel reports, heartbeats
and requests for artifacts: this thread alone receives there, but main threads also send requests (`peer_transfer`). The
second is the command stream: these threads alone use it.
"""

from __future__ import annotations

import logging
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING

from hpcmtl.communicators.base import RankLostError
from hpcmtl.communicators.polling import Backoff, Message, next_message
from hpcmtl.dispatch.coordinator.running import StopNowError, UnrecoverableError
from hpcmtl.dispatch.health.heartbeat_messages import Heartbeats
from hpcmtl.dispatch.health.watchdog import FenceCommand
from hpcmtl.dispatch.membership.rebuild import AttemptAbandonedError, bounded, rebuild_world
from hpcmtl.dispatch.membership.survivors import SurvivorReport, after_loss
from hpcmtl.dispatch.membership.world import COORDINATOR, World
from hpcmtl.dispatch.protocol import (
    Abandon,
    EndOfJob,
    LayerDone,
    LayerFailed,
    RunLayer,
    SetRate,
    StopLayer,
    StopRequest,
    StopTraining,
    WorldChanged,
)
from hpcmtl.dispatch.rank.current_layer import CurrentLayer
from hpcmtl.dispatch.transport.reduction import ReportReduction
from hpcmtl.dispatch.transport.stream import CommandReceiver, CommandSender
from hpcmtl.errors import ExitCode, NoSpaceError
from hpcmtl.exchange.peer_transfer import Question

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from hpcmtl.communicators.base import Communicator, SendHandle
    from hpcmtl.dispatch.coordinator.coordinator import Coordinator
    from hpcmtl.dispatch.coordinator.state import Order
    from hpcmtl.dispatch.health.heartbeat import HeartbeatSender
    from hpcmtl.dispatch.protocol import Command, Report
    from hpcmtl.dispatch.rank.channels import ThreadChannels
    from hpcmtl.exchange.peer_transfer import PeerTransfer

_log = logging.getLogger(__name__)

# Longest wait for a message before the thread looks at the clock and for signals again.
_LOOK_ROUND_SECONDS = 0.1
# Longest pause between two looks for messages: beside a layer, which needs the core more, and while the rank has none.
_BUSY_PAUSE, _IDLE_PAUSE = 0.01, 0.003
# The wait while messages are under way: some transports make progress only when they are looked at.
_WHILE_SENDING = 0.002


class ControlThread(threading.Thread):
    """Runs until the end of the job; an error in it ends the whole run, since it could be reported to no other rank."""

    def __init__(
        self,
        comm: Communicator,
        channels: ThreadChannels,
        coordinator: Coordinator | None,
        peer_transfer: PeerTransfer | None = None,
        heartbeat: HeartbeatSender | None = None,
        *,
        record_stop: Callable[[str], ExitCode] | None = None,
    ) -> None:
        """Joins the parts; `start` begins.

        Args:
            comm: a duplicate of the world's communicator, on which this thread alone receives.
            channels: channels to the main thread.
            coordinator: on rank 0.
            peer_transfer: serves other ranks' requests for artifacts.
            heartbeat: heartbeats of this rank, on the same communicator; on all ranks or on none.
            record_stop: on rank 0; records the end of a run while layers still run, and returns its exit code.
        """
        super().__init__(name="control", daemon=True)
        self._comm, self._world = comm, World.first(comm.size)
        self._member = self._world.member_of(comm.rank)
        self._main: Communicator | None = None  # newest communicator for the main thread, once ranks were lost
        self._channels = channels
        self._coordinator = coordinator
        self._peer_transfer = peer_transfer
        self._reduction = ReportReduction(self._member)
        self._heartbeat, self._record_stop = heartbeat, record_stop
        self._sending: list[SendHandle] = []
        self._backoff = Backoff()
        self._ended, self._closing, self._signal_sent = False, False, ""
        self._current = CurrentLayer(channels.comms)

    def run(self) -> None:
        """Handles messages until the job ends, or the attempt is abandoned."""
        try:
            self._stream = self._comm.dup()  # of its own, so that reports and commands do not mix
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
                    self._rebuild(error)
            with suppress(RankLostError):  # a rank that dies now takes nothing with it
                self._close()
        except AttemptAbandonedError as error:
            self._abandon_attempt(error)
        except StopNowError as error:
            code = ExitCode.STOPPED if self._record_stop is None else self._record_stop(str(error))
            self._end_run(f"{error}; `hpcmtl resume` goes on", code)
        except NoSpaceError as error:  # no room for another line of the ledger, so no task can end
            self._end_run(f"{error} from the last checkpoints", error.exit_code)
        except (UnrecoverableError, OSError) as error:  # an OSError here is a disk's: the ledger is not kept
            self._end_run(str(error), ExitCode.TASK_FAILED)
        except BaseException:  # noqa: BLE001 - whatever it is, the other ranks would wait for ever
            _log.exception("the control thread of rank %d failed; the run is ended", self._member)
            self._comm.abort(ExitCode.TASK_FAILED)
        finally:
            self._channels.commands.put(EndOfJob())  # where an abort only raises, the worker must not wait for ever

    def _end_run(self, reason: str, code: ExitCode) -> None:
        _log.error("the run is ended: %s", reason)
        _log.debug("by this", exc_info=True)
        self._comm.abort(code)

    def _begin(self) -> None:
        try:
            self._comm.barrier()  # a rank that died before all have the stream could not be told from one that starts
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

    def _rebuild(self, error: RankLostError) -> None:
        """Goes on in a smaller world, see `rebuild_world`."""
        comms = self._channels.comms
        main = comms.main if self._main is None else self._main
        assert main is not None, "the main thread has its world before this thread begins"
        comms.loss.set()
        _log.warning("a rank was lost: %s", error)
        if self._peer_transfer is not None:
            self._peer_transfer.give_up()
        with bounded(self._comm, comms.patience):
            given_up, coupled = (self._stream, main, *comms.parameter_exchange), bool(comms.parameter_exchange)
            made = rebuild_world(self._world, self._comm, given_up, self._survivor_report, abandon_attempt=coupled)
        self._world, self._comm, self._stream, self._main = made.world, made.control, made.stream, made.main
        self._sending = []
        self._receiver.move(made.stream)
        self._reduction = ReportReduction(self._member, self._current.start_number)
        if self._heartbeat is not None:
            self._heartbeat.move(made.control, made.world)
        self._channels.change_world(WorldChanged(world=made.world, comm=made.main))
        self._current.change_world(made.world)
        if self._coordinator is not None:
            executed = {report.member: report.done for report in made.reports}
            self._sender.move(made.stream, made.world, executed, after_loss)
            self._give(self._coordinator.lose(made.world, made.reports, time.monotonic()))

    def _abandon_attempt(self, error: AttemptAbandonedError) -> None:
        """Gets the main thread out of its layer: at its next step, with a checkpoint, if its group is intact."""
        if self._heartbeat is not None and self._coordinator is not None:
            self._heartbeat.move(error.survivors_comm, error.world)  # records the lost ranks
        channels = self._channels
        channels.abandoned = str(error)
        channels.stop_requested.set()
        channels.change_world(WorldChanged(world=error.world, comm=error.survivors_comm))
        self._current.change_world(error.world)
        if channels.comms.parameter_exchange:  # a member that waits for another task comes out: so must the others
            channels.comms.give_up(self._current.start_number)
        while self._current.training:
            channels.wake.wait(_LOOK_ROUND_SECONDS)
            channels.comms.enforce()
            if self._current.stuck():
                self._self_terminate()
            for report in channels.take_reports():
                self._current.note(report)

    def _survivor_report(self) -> SurvivorReport:
        return self._current.survivor_report(self._member, self._receiver.executed, self._channels.signal)

    def _turn(self) -> None:
        if self._current.stuck():
            self._self_terminate()
        for report in self._channels.take_reports():
            self._backoff.end()
            self._pass_on(self._current.note(report))
        name = self._channels.latest_signal()
        if name != self._signal_sent:  # another one may follow, with a grace of its own
            self._signal_sent = name
            self._pass_on(StopRequest(member=self._member, signal=name))
        if self._closing and self._sender.all_executed():
            self._execute(EndOfJob())
        if self._ended:
            return
        pause = _WHILE_SENDING if self._sending or self._closing else _LOOK_ROUND_SECONDS
        # On rank 0 the messages of the stream are acknowledgements, which the sender receives itself.
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
        """Ends this process as a lost rank: its main thread does not come out of a layer whose group was revoked."""
        text, alone = f"rank {self._member} is stuck in {self._current}, which was given up", self._world.size == 1
        if alone and self._coordinator is not None and not self._channels.abandoned:
            raise self._coordinator.end_stuck(text)
        _log.error("%s: it ends itself", text)
        self._comm.die()

    def _take(self, message: Message) -> None:
        if message.comm is self._stream:
            self._receiver.take(message, self._execute)
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
        combined = None
        if isinstance(report, LayerDone):
            combined = self._reduction.take(report)
        else:
            self._send(COORDINATOR, report)
            if isinstance(report, LayerFailed) and report.member == self._member:
                combined = self._reduction.failed(report)
        if combined is not None:
            self._send(*combined)

    def _send(self, member: int, report: Report) -> None:
        """Sends a report to a member, or gives it to the coordinator of this rank."""
        if member != self._member:
            self._sending.append(self._comm.isend(report, self._world.rank_of(member)))
        elif self._coordinator is not None:
            self._give(self._coordinator.handle(report, time.monotonic()))

    def _give(self, orders: Iterable[Order]) -> None:
        """Sends the commands of the coordinator, and executes those for this rank."""
        for order in orders:
            command, others = order.command, [member for member in order.members if member != self._member]
            if self._heartbeat is not None:
                self._heartbeat.note_orders(order.members, command)
            if others:
                self._sender.post(command, others, acknowledge=isinstance(command, EndOfJob))
            if isinstance(command, EndOfJob):
                self._closing = True  # nothing may be under way when the stream is given back
            elif len(others) < len(order.members):
                self._execute(command)

    def _execute(self, command: Command) -> None:
        if self._heartbeat is not None:
            self._heartbeat.note(command)
        if isinstance(command, StopTraining):
            self._channels.stop_requested.set()
        elif isinstance(command, StopLayer):
            self._channels.layer.stop.set()
        elif isinstance(command, SetRate):
            self._channels.layer.order(command.rate)
        elif isinstance(command, Abandon) and not command.stuck:
            self._current.abandon(command.start_number)
        elif isinstance(command, Abandon):
            if found := self._current.give_up_stuck(command, self._member, survives=self._comm.survives_losses):
                self._pass_on(found)
        else:
            if isinstance(command, RunLayer):
                self._channels.begin_layer(command)
                self._current.begin(command)
            self._channels.commands.put(command)
            self._ended = self._ended or isinstance(command, EndOfJob)
