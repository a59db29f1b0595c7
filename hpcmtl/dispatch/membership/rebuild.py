"""What the control threads of the ranks that live do together when others are lost: make a smaller world."""

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

_log = logging.getLogger(__name__)

SECONDS_AFTER_A_KILL = 30.0  # until all have come, or the run is ended


class AttemptAbandonedError(Exception):
    """This attempt at the run is over: rank 0 was lost, and with it who leads, or tasks met that cannot meet again.

    Attributes:
        survivors: old numbers of the ranks that live, in order.
        survivors_comm: their communicator; its rank 0 may lead a next attempt, from what the run directory has.
    """

    def __init__(self, survivors: tuple[int, ...], survivors_comm: Communicator) -> None:
        why = "a rank was lost of tasks that exchange parameters while they run"
        super().__init__(why if survivors[0] == 0 else "rank 0 was lost, which led the run")
        self.survivors, self.survivors_comm = survivors, survivors_comm


@dataclass(frozen=True)
class RebuiltWorld:
    """The smaller world.

    Attributes:
        survivors: old numbers of its ranks, in order.
        control: for the control threads.
        stream: for the command stream.
        world: for the main threads.
        calls: what each rank knows, by its new number; on rank 0.
    """

    survivors: tuple[int, ...]
    control: Communicator
    stream: Communicator
    world: Communicator
    calls: tuple[SurvivorReport, ...]


def rebuild_world(
    control: Communicator,
    others: Sequence[Communicator],
    call: Callable[[int, tuple[int, ...]], SurvivorReport],
    *,
    abandon_attempt: bool = False,
) -> RebuiltWorld:
    """Give up the communicators of a world that lost ranks and make those of a smaller one (collective).

    Args:
        control: of the control threads.
        others: of the same ranks.
        call: (new number, survivors) -> what this rank knows.
        abandon_attempt: whether the run goes on as a next attempt, whoever was lost.

    Raises:
        AttemptAbandonedError: it does, or it must as rank 0 is among those that are lost.
    """
    survivors = tuple(range(control.size))
    while True:
        for each in (control, *others):
            each.revoke()
        control, living = control.shrink()
        survivors = tuple(survivors[old] for old in living)
        _log.warning("rank %d goes on as rank %d of %d", survivors[control.rank], control.rank, control.size)
        if abandon_attempt or survivors[0] != 0:
            raise AttemptAbandonedError(survivors, control)
        try:
            stream, world = control.dup(), control.dup()
            calls = control.gather(call(control.rank, survivors))
            return RebuiltWorld(survivors, control, stream, world, tuple(calls or ()))
        except RankLostError as error:  # another one, meanwhile
            _log.warning("once more: %s", error)
            others = ()  # the new ones are unused, and other ranks may still create them: see `enforce`


@contextmanager
def not_for_ever(control: Communicator, patience: float = math.inf) -> Iterator[None]:
    """See to it that regrouping, for which all that live must come, has an end though one of them hangs.

    Nobody beats meanwhile, so that the watchdog sees nothing. After `patience` seconds each rank kills those of its
    node that are stopped, which are lost then as well; if that does not help the run is ended.
    """
    if math.isinf(patience):
        yield
        return
    timers = [
        threading.Timer(patience, _kill_stopped),
        threading.Timer(patience + SECONDS_AFTER_A_KILL, _give_up, (control, patience + SECONDS_AFTER_A_KILL)),
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


def _give_up(control: Communicator, seconds: float) -> None:
    _log.error("a rank was lost, and in %.0f s not all of the others have come together; the run is ended", seconds)
    control.abort(ExitCode.TASK_FAILED)
