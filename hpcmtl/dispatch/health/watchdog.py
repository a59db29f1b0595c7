"""The watchdog: declares suspected ranks that stay silent dead, and has them fenced.

A process that is stopped, or that hangs with Python's lock held, sends no heartbeats; a slow one does, and is left
alone. A rank that neither lives nor dies would keep its group waiting for ever, so its death is made certain: a rank of
the same node sends it SIGKILL. What follows from a death is decided elsewhere. If nothing follows, the run is ended.
"""

from __future__ import annotations

import logging
import os
import signal
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hpcmtl.dispatch.coordinator.running import UnrecoverableError
from hpcmtl.launch.resources.facts import born_at

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hpcmtl.dispatch.health.topology import Topology

_log = logging.getLogger(__name__)

SECONDS_TO_DIE = 10.0  # from the kill of a rank until its death is known, or the run is ended


@dataclass(frozen=True, kw_only=True)
class FenceCommand:
    """Orders a rank to kill a process of its node, which is a rank that hangs.

    Attributes:
        member: member that hangs.
        pid: id of its process.
        born: start of that process in seconds since 1970; another process with the same id is spared.
    """

    member: int
    pid: int
    born: float


@dataclass(frozen=True, kw_only=True)
class HungRank:
    """A rank that is declared dead.

    Attributes:
        member: the member.
        host: its node.
        seconds: seconds without a heartbeat.
        fenced_by: member of the same node that is to kill it; None if there is no other.
    """

    member: int
    host: str
    seconds: float
    fenced_by: int | None


class Watchdog:
    """Finds the ranks that hang. Pure: silences and the clock come in."""

    def __init__(self, topology: Topology, limit: float, patience: float) -> None:
        """Starts without findings.

        Args:
            topology: the members and their hosts.
            limit: seconds from the suspicion of a rank to its declared death; 0 to declare no rank dead.
            patience: seconds of silence after which a rank is suspected.
        """
        self._hosts, self._nodes = topology.hosts, topology.nodes
        self._limit, self._patience = limit, patience
        self._declared: dict[int, float] = {}  # member -> seconds

    def look(self, silent: Mapping[int, float], now: float) -> list[HungRank]:
        """Returns the ranks that are declared dead since the last look, each once.

        The first rank of a node sends for all of it. While that one is silent nothing is known of the others, and they
        have their whole time again once it is gone.

        Args:
            silent: suspected member -> seconds since its last heartbeat.
            now: seconds.

        Raises:
            UnrecoverableError: a rank that was to be killed still lives.
        """
        self._declared = {member: since for member, since in self._declared.items() if member in silent}
        late = [member for member, since in self._declared.items() if now - since > SECONDS_TO_DIE]
        if late:
            raise UnrecoverableError(
                f"rank {late[0]} on {self._hosts[late[0]]} hangs and could not be ended by SIGKILL"
            )
        found = []
        for member, seconds in sorted(silent.items()):
            node = self._nodes[self._hosts[member]]
            hidden = member != node[0] and node[0] in silent
            if not 0 < self._limit < seconds - self._patience or member in self._declared or hidden:
                continue
            self._declared[member] = now
            fenced_by = next((other for other in node if other != member), None)
            found.append(HungRank(member=member, host=self._hosts[member], seconds=seconds, fenced_by=fenced_by))
        return found


def fence(command: FenceCommand) -> bool:
    """Sends SIGKILL to a process of this node, if it still is the one that is meant; returns whether it was sent."""
    rank, pid = command.member, command.pid
    if born_at(pid) != command.born:
        _log.warning("rank %d, process %d, is not there any more: it is not killed", rank, pid)
        return False
    _log.error("rank %d, process %d, hangs: it is killed", rank, pid)
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return False
    except PermissionError as error:  # a container of its own: rank 0 ends the run if the rank does not die
        _log.error("rank %d, process %d, cannot be killed: %s", rank, pid, error.strerror)
        return False
    return True
