"""The worker: the main thread of a rank, which executes commands one after the other and runs layers."""

from __future__ import annotations

import logging
import traceback
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hpcmtl import faults
from hpcmtl.communicators.base import RankLostError
from hpcmtl.dispatch.membership.world import Members, World
from hpcmtl.dispatch.protocol import (
    EndOfJob,
    ExtendJob,
    LayerDone,
    LayerFailed,
    Release,
    RunLayer,
    WorldChanged,
)
from hpcmtl.dispatch.rank.exits import exits_raise
from hpcmtl.errors import EnvironmentUnfitError, InputError, NoSpaceError, TaskFailedError, users_frames, users_place
from hpcmtl.exchange.store import DamagedArtifactError
from hpcmtl.logs import harmless, layer_context

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from hpcmtl.communicators.base import Communicator
    from hpcmtl.dispatch.rank.channels import ThreadChannels
    from hpcmtl.training.checkpointing.content import Checkpoint
    from hpcmtl.training.session import LayerOutcome, Session

    OpenSession = Callable[[RunLayer, Communicator, dict[str, Checkpoint]], Session]
    ExtendSessions = Callable[[ExtendJob], None]

_log = logging.getLogger(__name__)

SECONDS_TO_HEAR_OF_A_LOSS = 0.2
"""Seconds that an error in a group waits for the news of a lost rank, which explains it without a traceback."""

PARKED = 4
"""Number of sessions without a group that a rank keeps; their networks and optimizers take memory."""


@dataclass
class _Held:
    """A session that stays open between layers, with the members and the communicator of its group."""

    task: str
    members: Members
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
        """Joins the parts; `run` begins.

        Args:
            world: communicator of all ranks, from which this thread alone makes groups.
            channels: channels to the control thread.
            open_session: (command, group, states) -> session; `states` has the newest checkpoint of each task, as far
                as this rank knows it.
            extend_job: called when the job gets more tasks, before a session of any of them is opened.
        """
        members = World.first(world.size)
        self._member = members.member_of(world.rank)
        self._comms = channels.comms
        self._comms.enter(world, members)
        self._channels = channels
        self._open_session = open_session
        self._extend_job = extend_job
        self._held: _Held | None = None
        self._parked: dict[str, Session] = {}  # of tasks that ran here and moved to other ranks, the oldest first
        self._states: dict[str, Checkpoint] = {}

    def run(self) -> None:
        """Executes commands until the end of the job."""
        while not isinstance(command := self._channels.commands.get(), EndOfJob):
            if isinstance(command, Release):
                self._release(command.task)
            elif isinstance(command, RunLayer):
                self._run(command)
            elif isinstance(command, WorldChanged):
                self._change_world(command)
            elif isinstance(command, ExtendJob) and self._extend_job is not None:
                self._extend_job(command)
        if self._held is not None:  # rank 0, which would have ordered it, was lost
            self._release(self._held.task)

    def _change_world(self, change: WorldChanged) -> None:
        """Goes on in a smaller world: a session whose group lost a rank ends; no artifact is in others' memory."""
        held = self._held
        self._comms.enter(change.comm, change.world)
        self._channels.owners.clear()
        if held is not None and change.world.intact(held.members) is None:
            held.failed = True
            self._comms.before_closing(lost_rank=True)
            self._release(held.task)

    def _run(self, command: RunLayer) -> None:
        self._comms.begin(command.start_number)
        with layer_context(command.task, command.layer), self._reporting(command):
            with exits_raise():
                session = self._session(command)
            faults.step_point(command.task, command.layer)
            with exits_raise():
                outcome = session.run_layer(command.layer)
            _log.debug("%d steps in %.3f s", outcome.steps, outcome.seconds)
            if outcome.ended_early or (command.layer == command.layers - 1 and not outcome.stopped):
                self._release(command.task, over=True)
            self._done(command, outcome)

    def _session(self, command: RunLayer) -> Session:
        """Returns the session that is held for this task and group, or a new one on a new group."""
        held = self._held
        if held is None or held.session is None or (held.task, held.members) != (command.task, command.group):
            if held is not None:
                raise RuntimeError(f"the session of {held.task} was not released before {command.task} began")
            _log.debug("a group of ranks %s", command.group)
            self._note_owners(command)
            group = self._comms.make_group(command)
            self._held = held = _Held(command.task, command.group, group)
            held.session = self._moved(command, group) or self._open_session(command, group, self._states)
        return held.session

    def _note_owners(self, command: RunLayer) -> None:
        world = self._comms.world
        assert world is not None
        self._channels.owners.update({task: world.rank_of(member) for task, member in command.owners})

    def _moved(self, command: RunLayer, group: Communicator) -> Session | None:
        """Returns the session that this rank had for the task, on a new group; None unless all members had one.

        If the step of the task is unknown, as after a loss, the network begins with the parameters of files.
        """
        parked = self._parked.pop(command.task, None)
        move = None if parked is None or command.step is None else parked.rebinder()
        if not all(group.allgather(move is not None)) or move is None:
            return None
        move(group, command.step)
        return parked

    def _release(self, task: str, *, over: bool = False) -> None:
        """Leaves the group of a task; the session is kept for a later group until the task is `over`."""
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
                # An error of a background thread is raised again here; the task has failed by it already.
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
        done = LayerDone(
            member=self._member,
            task=command.task,
            layer=command.layer,
            group=command.group,
            start_number=command.start_number,
            outcome=outcome if self._member == command.group[0] else None,
            finished=(self._member,),
        )
        self._channels.report(done)

    @contextmanager
    def _reporting(self, command: RunLayer) -> Iterator[None]:
        """Turns an exception into a report: the coordinator decides whether it ends the task or the run."""
        try:
            yield
        except (Exception, SystemExit) as error:  # noqa: BLE001 - users' code may raise anything, and the coordinator must know
            where = self._member, command.task, command.layer
            heard = len(command.group) > 1 and self._comms.loss.wait(SECONDS_TO_HEAR_OF_A_LOSS)
            if heard or isinstance(error, RankLostError):  # also where the layer was given up as stuck
                _log.debug("rank %d was interrupted in task %s, layer %d", *where, exc_info=True)
            elif isinstance(error, (InputError, EnvironmentUnfitError, NoSpaceError)):  # rank 0 says its message
                _log.debug("rank %d failed in task %s, layer %d", *where, exc_info=True)
            elif frames := users_frames(error):
                lines = [*traceback.format_list(frames), *traceback.format_exception_only(error)]
                _log.error("rank %d failed in task %s, layer %d\n%s", *where, "".join(lines).rstrip())
                _log.debug("all frames, and the errors behind it", exc_info=True)
            else:
                _log.exception("rank %d failed in task %s, layer %d", *where)
            if self._held is not None:
                self._held.failed = True
            held = self._held
            failed = LayerFailed(
                member=self._member,
                task=command.task,
                layer=command.layer,
                message=harmless(_in_one_line(error)),
                group=command.group,
                start_number=command.start_number,
                traceback=traceback.format_exc(),
                damaged=error.producer if isinstance(error, DamagedArtifactError) else "",
                lost=isinstance(error, RankLostError),
                may_retry=error.may_retry if isinstance(error, TaskFailedError) else True,
                no_space=isinstance(error, NoSpaceError),
                begun=held is not None and (held.task, held.members) == (command.task, command.group),
            )
            self._channels.report(failed)


def _in_one_line(error: BaseException) -> str:
    place = users_place(error)
    if isinstance(error, InputError):
        return error.in_one_line + place
    text = str(error)
    if isinstance(error, NoSpaceError):
        return text
    if text.startswith("Traceback"):  # an error of a framework may bring one, with the cause in its last line
        text = text.strip().splitlines()[-1]
    return f"{type(error).__name__}: {text}{place}"
