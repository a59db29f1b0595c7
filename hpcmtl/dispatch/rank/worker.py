"""The main thread of a rank: it takes commands one after the other and runs layers."""

from __future__ import annotations

import logging
import traceback
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hpcmtl import faults
from hpcmtl.communicators.base import RankLostError
from hpcmtl.dispatch.membership.survivors import intact_block
from hpcmtl.dispatch.protocol import (
    EndOfJob,
    ExtendJob,
    LayerDone,
    LayerFailed,
    Release,
    Renumbered,
    RunLayer,
)
from hpcmtl.exchange.store import DamagedArtifactError
from hpcmtl.logs import layer_context

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from hpcmtl.communicators.base import Communicator
    from hpcmtl.dispatch.rank.channels import ThreadChannels
    from hpcmtl.training.checkpointing.checkpoint import Checkpoint
    from hpcmtl.training.session import LayerOutcome, Session

    OpenSession = Callable[[RunLayer, Communicator, dict[str, Checkpoint]], Session]
    ExtendSessions = Callable[[ExtendJob], None]

_log = logging.getLogger(__name__)

PARKED = 4  # sessions without a group that a rank keeps: their networks and optimizers take memory


@dataclass
class _Held:
    """A session that stays open between layers, and the group it runs on."""

    task: str
    block: range
    group: Communicator
    session: Session | None = None
    failed: bool = False


class Worker:
    """Runs layers on one rank, one at a time."""

    def __init__(
        self,
        world: Communicator,
        channels: ThreadChannels,
        open_session: OpenSession,
        extend_job: ExtendSessions | None = None,
    ) -> None:
        """Get ready.

        Args:
            world: all ranks; groups are made from it by this thread alone.
            channels: shared with the control thread.
            open_session: (command, group, states) -> session; `states` are what this rank knows of checkpoints.
            extend_job: is called when the job gets more tasks, before a session of any is opened.
        """
        self._rank = world.rank
        self._comms = channels.comms
        self._comms.world = world
        self._channels = channels
        self._open_session = open_session
        self._extend_job = extend_job
        self._held: _Held | None = None
        self._parked: dict[str, Session] = {}  # of tasks that ran here and went on elsewhere, by the time they left
        self._states: dict[str, Checkpoint] = {}

    def run(self) -> None:
        """Obey commands until the end of the job."""
        while not isinstance(command := self._channels.commands.get(), EndOfJob):
            if isinstance(command, Release):
                self._release(command.task)
            elif isinstance(command, RunLayer):
                self._run(command)
            elif isinstance(command, Renumbered):
                self._renumber(command)
            elif isinstance(command, ExtendJob) and self._extend_job is not None:
                self._extend_job(command)
        if self._held is not None:  # rank 0 was lost, who would have ordered it
            self._release(self._held.task)

    def _renumber(self, news: Renumbered) -> None:
        """Go on in a smaller world: a session whose group lost a rank is over, and nothing is in others' memory."""
        held = self._held
        self._comms.world, self._rank = news.world, news.world.rank
        self._channels.owners.clear()
        block = None if held is None else intact_block(held.block, news.survivors)
        if held is not None and block is not None:
            held.block = block
        elif held is not None:
            held.failed = True
            self._comms.before_closing(lost_rank=True)
            self._release(held.task)

    def _run(self, command: RunLayer) -> None:
        self._comms.begin(command.number)
        with layer_context(command.task, command.layer), self._reporting(command):
            session = self._session(command)
            faults.step_point(command.task, command.layer)
            outcome = session.run_layer(command.layer)
            _log.debug("%d steps in %.3f s", outcome.steps, outcome.seconds)
            if command.layer == command.layers - 1 and not outcome.stopped:
                self._release(command.task, over=True)
            self._done(command, outcome)

    def _session(self, command: RunLayer) -> Session:
        """The session that is held for this task and these ranks, or a new one on a new group."""
        block = command.block
        held = self._held
        if held is None or held.session is None or (held.task, held.block) != (command.task, block):
            assert held is None, f"the session of {held.task} was not released before {command.task} began"
            _log.debug("a group of ranks %d to %d", block.start, block.stop - 1)
            self._channels.owners.update(command.owners)
            group = self._comms.make_group(command)
            self._held = held = _Held(command.task, block, group)
            held.session = self._moved(command, group) or self._open_session(command, group, self._states)
        return held.session

    def _moved(self, command: RunLayer, group: Communicator) -> Session | None:
        """The session that this rank had for the task, on a new group; None unless all members had one.

        Where it is not known how far the task is, as when it lost a rank, the network begins with what files have.
        """
        parked = self._parked.pop(command.task, None)
        move = None if parked is None or command.step is None else parked.rebinder()
        if not all(group.allgather(move is not None)) or move is None:
            return None
        move(group, command.step)
        return parked

    def _release(self, task: str, *, over: bool = False) -> None:
        """Leave the group of a task; what was built for it is kept until the task is `over`."""
        if self._held is not None and self._held.task == task:
            held, self._held = self._held, None
            if held.failed:
                self._comms.before_closing()
            try:
                if held.session is not None:
                    held.session.close()
                    if over or held.failed or held.session.rebinder() is None:
                        self._states.pop(task, None)
                    else:
                        self._park(task, held.session)
            except Exception as error:
                if not (held.failed or isinstance(error, RankLostError)):
                    raise
                # What went wrong on a background thread comes out again here; the task has failed by it already.
                _log.debug("closing the failed %s", task, exc_info=True)
            self._comms.leave_group()
            with suppress(RankLostError):
                held.group.free()

    def _park(self, task: str, session: Session) -> None:
        self._parked[task] = session
        while len(self._parked) > PARKED:
            oldest = next(iter(self._parked))
            del self._parked[oldest]
            self._states.pop(oldest, None)

    def _done(self, command: RunLayer, outcome: LayerOutcome) -> None:
        rank = self._rank
        said = outcome if rank == command.first_rank else None
        place = (command.block, command.number)
        self._channels.report(LayerDone(rank, command.task, command.layer, said, *place, (rank,)))

    @contextmanager
    def _reporting(self, command: RunLayer) -> Iterator[None]:
        """Turn an error into a report: whether it is the task's end or the run's is for the dispatcher to decide."""
        try:
            yield
        except Exception as error:  # noqa: BLE001 - users' code may raise anything, and the dispatcher must know
            rank = self._rank
            _log.exception("rank %d failed in task %s, layer %d", rank, command.task, command.layer)
            if self._held is not None:
                self._held.failed = True
            text = str(error)
            if text.startswith("Traceback"):  # errors of some frameworks contain one; its last line is the cause
                text = text.strip().splitlines()[-1]
            message = f"{type(error).__name__}: {text}"
            damaged = error.producer if isinstance(error, DamagedArtifactError) else ""
            lost = isinstance(error, RankLostError)
            said = (message, traceback.format_exc(), command.block, command.number, damaged, lost)
            self._channels.report(LayerFailed(rank, command.task, command.layer, *said))
