"""Rebuilds the world after a loss: the control threads of the survivors make new, smaller communicators together."""

from __future__ import annotations

import logging
import math
import os
import signal
import threading
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hpcmtl.communicators.base import RankLostError
from hpcmtl.communicators.daemon import stopped_siblings
from hpcmtl.errors import ExitCode

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from hpcmtl.communicators.base import Communicator
    from hpcmtl.dispatch.membership.survivors import SurvivorReport
    from hpcmtl.dispatch.membership.world import World

_log = logging.getLogger(__name__)

SECONDS_AFTER_A_KILL = 30.0  # from the kill of stopped ranks until the run is ended


class AttemptAbandonedError(Exception):
    """This attempt at the run is over: rank 0 was lost, or any rank of a job whose tasks exchange parameters.

    Attributes:
        world: the members that live, with the ids of this attempt; the next attempt counts its own from 0.
        survivors_comm: their communicator; its rank 0 leads the next attempt, from the run directory.
    """

    def __init__(self, world: World, survivors_comm: Communicator) -> None:
        why = "a rank was lost, and tasks of this job exchange parameters while they run"
        super().__init__(why if 0 in world else "rank 0 was lost, which led the run")
        self.world, self.survivors_comm = world, survivors_comm


@dataclass(frozen=True, kw_only=True)
class RebuiltWorld:
    """The smaller world and its communicators.

    Attributes:
        world: the members that live.
        control: communicator of the control threads.
        stream: communicator of the command stream.
        main: communicator of the main threads.
        reports: a report of each member, by rank; empty on all ranks but rank 0.
    """

    world: World
    control: Communicator
    stream: Communicator
    main: Communicator
    reports: tuple[SurvivorReport, ...]


def rebuild_world(
    world: World,
    control: Communicator,
    others: Sequence[Communicator],
    report: Callable[[], SurvivorReport],
    *,
    abandon_attempt: bool = False,
) -> RebuiltWorld:
    """Revokes the communicators of a world that lost ranks and makes those of a smaller one (collective).

    If another rank dies meanwhile, it begins again from the last smaller world.

    Args:
        world: the members before the loss.
        control: communicator of the control threads.
        others: further communicators of the same ranks, which are given up.
        report: returns the report of this rank.
        abandon_attempt: whether the attempt is over, whichever rank was lost.

    Raises:
        AttemptAbandonedError: the attempt is over, by `abandon_attempt` or since rank 0 is lost.
    """
    me = world.member_of(control.rank)
    while True:
        for each in (control, *others):
            each.revoke()
        control, living = control.shrink()
        world = world.shrunk(living)
        _log.warning("rank %d goes on in a world of %d ranks", me, world.size)
        if abandon_attempt or 0 not in world:
            raise AttemptAbandonedError(world, control)
        try:
            stream, main = control.dup(), control.dup()
            reports = tuple(control.gather(report()) or ())
            return RebuiltWorld(world=world, control=control, stream=stream, main=main, reports=reports)
        except RankLostError as error:  # another rank died meanwhile
            _log.warning("another rank was lost: %s", error)
            # The new communicators are unused, and other ranks may still create them: see `enforce`.
            others = ()


@contextmanager
def bounded(control: Communicator, patience: float = math.inf) -> Iterator[None]:
    """Bounds the time of a rebuild, for which all survivors must come together, in case one of them hangs.

    No rank sends heartbeats meanwhile, so the watchdog sees nothing. After `patience` seconds each rank kills those of
    its node that are stopped, which are lost then as well. If that does not help, the run is ended.
    """
    if math.isinf(patience):
        yield
        return
    timers = [
        threading.Timer(patience, _kill_stopped),
        threading.Timer(patience + SECONDS_AFTER_A_KILL, _end_run, (control, patience + SECONDS_AFTER_A_KILL)),
    ]
    for timer in timers:
        timer.daemon = True
        timer.start()
    try:
        yield
    finally:
        for timer in timers:
            timer.cancel()


def _kill_stopped() -> None:
    for pid in stopped_siblings():
        _log.error("process %d, a rank of this node, is stopped while the others wait for it: it is killed", pid)
        with suppress(OSError):  # another rank was faster
            os.kill(pid, signal.SIGKILL)


def _end_run(control: Communicator, seconds: float) -> None:
    _log.error("a rank was lost, and in %.0f s not all of the others have come together; the run is ended", seconds)
    control.abort(ExitCode.TASK_FAILED)
