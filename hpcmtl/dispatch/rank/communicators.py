"""What the main thread of a rank stands on: the world, and the group of its session."""

from __future__ import annotations

import math
import threading
import time
from typing import TYPE_CHECKING

from hpcmtl.communicators.base import RankLostError

if TYPE_CHECKING:
    from hpcmtl.communicators.base import Communicator
    from hpcmtl.dispatch.protocol import RunLayer

SECONDS_TO_SETTLE = 0.1


class RankCommunicators:
    """Shared by the main thread, which makes groups, and the control thread, which gives them up when a rank is lost.

    Attributes:
        world: all ranks that live, as far as the main thread knows.
        parameter_exchange: communicators of the parameter server and its clients. A client that waits there for a
            task which lost a rank returns only if the whole attempt is abandoned.
        patience: seconds that those that live wait for each other when a rank was lost, before they look who hangs.
    """

    def __init__(self) -> None:
        self.world: Communicator | None = None
        self.parameter_exchange: tuple[Communicator, ...] = ()
        self.patience = math.inf
        self._lock = threading.Lock()
        self._group: Communicator | None = None
        self._at, self._made = 0, 0.0
        self._given_up: set[int] = set()

    def begin(self, number: int) -> None:
        """The main thread begins a layer, see `RunLayer.number`."""
        with self._lock:
            self._at = number

    def make_group(self, command: RunLayer) -> Communicator:
        """Make the group of a layer (collective over its ranks).

        Raises:
            RankLostError: one of the world was lost meanwhile; or later, from the group's verbs.
        """
        assert self.world is not None
        group = self.world.create_group(list(command.block), tag=0)
        with self._lock:
            self._group, self._made = group, time.monotonic()
            if self._at in self._given_up:
                raise RankLostError("a rank of the world was lost while this group was made")
        return group

    def before_closing(self, *, lost_rank: bool = False) -> None:
        """Have nobody wait for another while the session of a group that lost a rank, or was given up, is closed."""
        with self._lock:
            group, given_up = self._group, lost_rank or self._at in self._given_up
            left = SECONDS_TO_SETTLE - (time.monotonic() - self._made)
        if group is not None and given_up:
            time.sleep(max(left, 0.0))  # see `enforce`
            group.revoke()

    def leave_group(self) -> None:
        """The main thread gives its group back."""
        with self._lock:
            self._group = None

    def give_up(self, number: int) -> None:
        """End all waits on the group of a layer; all its ranks that live are told so."""
        with self._lock:
            self._given_up.add(number)
        self.enforce()

    def enforce(self) -> None:
        """Take a group away that was given up, unless it is so young that other ranks may still be making it.

        Open MPI 5.0.11 crashes if it hears that a communicator was revoked while it makes it.
        """
        with self._lock:
            settled = time.monotonic() - self._made > SECONDS_TO_SETTLE
            if self._group is not None and self._at in self._given_up and settled:
                self._group.revoke()
                self._group = None
