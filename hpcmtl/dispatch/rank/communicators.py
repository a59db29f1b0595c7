"""Holds the main thread's communicators, which the control thread can revoke."""

from __future__ import annotations

import math
import threading
import time
from typing import TYPE_CHECKING

from hpcmtl.communicators.base import RankLostError
from hpcmtl.communicators.revoking import SECONDS_TO_SETTLE

if TYPE_CHECKING:
    from hpcmtl.communicators.base import Communicator
    from hpcmtl.dispatch.membership.world import World
    from hpcmtl.dispatch.protocol import RunLayer


class RankCommunicators:
    """The world and the group of a rank's main thread.

    The main thread makes groups; the control thread gives them up when a rank is lost.

    Attributes:
        main: communicator of all living ranks, as far as the main thread knows.
        world: the members of that communicator.
        parameter_exchange: communicators of the parameter server and its clients. A client that waits there for a task
            which lost a rank returns only if the whole attempt is abandoned.
        patience: seconds that survivors wait for each other after a loss, before they look for a rank that hangs.
        loss: set by the control thread when it hears of a lost rank, until the main thread goes on without it.
    """

    def __init__(self) -> None:
        self.main: Communicator | None = None
        self.world: World | None = None
        self.parameter_exchange: tuple[Communicator, ...] = ()
        self.patience = math.inf
        self.loss = threading.Event()
        self._lock = threading.Lock()
        self._group: Communicator | None = None
        self._number, self._made = 0, 0.0
        self._given_up: set[int] = set()

    def enter(self, main: Communicator, world: World) -> None:
        """Sets communicator and members for the main thread, which calls this at the start and after a loss."""
        self.main, self.world = main, world
        self.loss.clear()

    def begin(self, start_number: int) -> None:
        """Begins a layer, see `RunLayer.start_number`; called by the main thread."""
        with self._lock:
            self._number = start_number

    def make_group(self, command: RunLayer) -> Communicator:
        """Makes the group of a layer (collective over its members).

        Raises:
            RankLostError: a rank was lost meanwhile; later the methods of the group raise it.
        """
        assert self.main is not None
        assert self.world is not None
        group = self.main.create_group(self.world.ranks_of(command.group), tag=0)
        with self._lock:
            self._group, self._made = group, time.monotonic()
            if self._number in self._given_up:
                raise RankLostError("a rank of the world was lost while this group was made")
        return group

    def before_closing(self, *, lost_rank: bool = False) -> None:
        """Revokes the group of a session that is to be closed, if it lost a rank or was given up.

        Else a member could wait there for another one.
        """
        with self._lock:
            group, given_up = self._group, lost_rank or self._number in self._given_up
            left = SECONDS_TO_SETTLE - (time.monotonic() - self._made)
        if group is not None and given_up:
            time.sleep(max(left, 0.0))  # see `enforce`
            group.revoke()

    def leave_group(self) -> None:
        """Forgets the group, which the main thread gives back."""
        with self._lock:
            self._group = None

    def give_up(self, start_number: int) -> None:
        """Ends all waits on the group of a layer; the control threads of all its living members do the same."""
        with self._lock:
            self._given_up.add(start_number)
        self.enforce()

    def enforce(self) -> None:
        """Revokes a group that was given up, unless it is so young that other ranks may still be making it."""
        with self._lock:
            settled = time.monotonic() - self._made > SECONDS_TO_SETTLE
            if self._group is not None and self._number in self._given_up and settled:
                self._group.revoke()
                self._group = None
