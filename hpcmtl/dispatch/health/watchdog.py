"""What becomes of a rank that stays silent after it was named as suspect: it is taken for dead, and killed if possible.

A process that is stopped, or hangs with Python's lock held, does not beat; a slow one does, and is left alone. A rank
that neither lives nor dies would keep its partners waiting for ever, so its death is made certain: a rank of the same
node sends it SIGKILL. What follows from a death is for others to say; if none follows, the run is ended.
"""

from __future__ import annotations

import logging
import os
import signal
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hpcmtl.dispatch.coordinator.state import UnrecoverableError
from hpcmtl.launch.resources.facts import born_at
from hpcmtl.results.hosts import blocks_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_log = logging.getLogger(__name__)

SECONDS_TO_DIE = 10.0  # for a rank that was killed to be known as dead, or the run to be over


@dataclass(frozen=True)
class FenceCommand:
    """What a rank is told: kill this process of its node, which is a rank that hangs.

    Attributes:
        rank: that hangs.
        pid: of its process.
        born: seconds since 1970 when that process began; another with the same pid is spared.
    """

    rank: int
    pid: int
    born: float


@dataclass(frozen=True)
class HungRank:
    """A rank that is taken for dead.

    Attributes:
        rank: which.
        host: its node.
        seconds: without a word.
        killer: rank of the same node that is to kill it; None if there is no other.
    """

    rank: int
    host: str
    seconds: float
    killer: int | None


class Watchdog:
    """Says which ranks hang. Pure: silences and the clock come in."""

    def __init__(self, hosts: Sequence[str], limit: float) -> None:
        """Begin.

        Args:
            hosts: of each rank.
            limit: seconds of silence, since a rank became suspect, after which it is taken for dead; 0 for never.
        """
        self._hosts, self._blocks = hosts, blocks_of(hosts)
        self._limit = limit
        self._condemned: dict[int, float] = {}  # rank -> when

    def look(self, silent: Mapping[int, tuple[float, float]], now: float) -> list[HungRank]:
        """The ranks that are taken for dead since the last look, each named once.

        The first rank of a node sends for all of it. Where that one is silent nothing is known of the others, and they
        have their time again once it is gone.

        Args:
            silent: rank that is suspect now -> seconds since its last word, and since it became suspect.
            now: seconds.

        Raises:
            UnrecoverableError: a rank that was to be killed is still there.
        """
        self._condemned = {rank: since for rank, since in self._condemned.items() if rank in silent}
        late = [rank for rank, since in self._condemned.items() if now - since > SECONDS_TO_DIE]
        if late:
            raise UnrecoverableError(
                f"rank {late[0]} on {self._hosts[late[0]]} hangs and could not be ended by SIGKILL"
            )
        found = []
        for rank, (seconds, suspect) in sorted(silent.items()):
            first = self._blocks[self._hosts[rank]][0]
            if not 0 < self._limit < suspect or rank in self._condemned or (rank != first and first in silent):
                continue
            self._condemned[rank] = now
            killer = next((other for other in self._blocks[self._hosts[rank]] if other != rank), None)
            found.append(HungRank(rank, self._hosts[rank], seconds, killer))
        return found


def fence(order: FenceCommand) -> bool:
    """Send SIGKILL to a process of this node, if it is still the one that is meant; say whether it was sent."""
    if born_at(order.pid) != order.born:
        _log.warning("rank %d, process %d, is not there any more: it is not killed", order.rank, order.pid)
        return False
    _log.error("rank %d, process %d, hangs: it is killed", order.rank, order.pid)
    try:
        os.kill(order.pid, signal.SIGKILL)
    except ProcessLookupError:
        return False
    except PermissionError as error:  # a container of its own: rank 0 ends the run when nothing comes of it
        _log.error("rank %d, process %d, cannot be killed: %s", order.rank, order.pid, error.strerror)
        return False
    return True
