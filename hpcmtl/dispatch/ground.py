"""What the main thread of a rank stands on: the world, and the group of its session."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hpcmtl.communicators.base import Communicator
    from hpcmtl.dispatch.commands import RunLayer


class Ground:
    """Shared by the main thread, which makes groups, and the control thread, which gives them up when a rank is lost.

    Attributes:
        world: all ranks that live, as far as the main thread knows.
        survivable: whether this job can go on without a rank.
    """

    def __init__(self) -> None:
        self.world: Communicator | None = None
        self.survivable = True
        self._lock = threading.Lock()
        self._group: Communicator | None = None
        self._at = 0
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
            self._group = group
            if self._at in self._given_up:
                group.revoke()
        return group

    def leave_group(self) -> None:
        """The main thread gives its group back."""
        with self._lock:
            self._group = None

    def give_up(self, number: int) -> None:
        """End all waits on the group of a layer, now or as soon as there is one."""
        with self._lock:
            self._given_up.add(number)
            if self._at == number and self._group is not None:
                self._group.revoke()
