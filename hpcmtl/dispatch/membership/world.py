"""The members of a running job, and the ranks that they have in the communicators of today."""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

COORDINATOR = 0
"""Member that runs the coordinator and keeps the ledger; it has rank 0, and an attempt ends if it is lost."""

Members = tuple[int, ...]
"""Ids of some members, in the order of their ranks, which is that of their ids."""


@dataclass(frozen=True, kw_only=True)
class World:
    """The processes that live, as members with stable ids.

    A member's id is the rank that it had when the attempt began. It keeps the id when other members are lost. Ranks are
    dense, as MPI and the planner need them: after a loss the members that live have ranks 0 to size - 1, in the order
    of their ids. So a loss replaces this value, and whatever names members stays as it is. A rank is computed where a
    communicator is addressed, and where a scheduler packs blocks of ranks.

    Fields named `rank` in events and heartbeats, and "rank" in texts for users, are ids of members: a user knows a
    process by its first rank. `exchange.peer_transfer` uses ranks of generation 0, and stops at the first loss.

    Attributes:
        generation: number of losses since the attempt began.
        members: ids of the members that live; the place of an id is its rank.
    """

    generation: int
    members: Members

    @classmethod
    def first(cls, size: int) -> World:
        """Returns the world at the start of an attempt with `size` ranks."""
        return cls(generation=0, members=tuple(range(size)))

    @property
    def size(self) -> int:
        """Number of members."""
        return len(self.members)

    @cached_property
    def _rank(self) -> dict[int, int]:
        return {member: rank for rank, member in enumerate(self.members)}

    def __contains__(self, member: int) -> bool:
        """Returns whether a member lives."""
        return member in self._rank

    def rank_of(self, member: int) -> int:
        """Returns the rank of a member.

        Raises:
            KeyError: the member is lost.
        """
        return self._rank[member]

    def member_of(self, rank: int) -> int:
        """Returns the member that has a rank."""
        return self.members[rank]

    def ranks_of(self, members: Iterable[int]) -> list[int]:
        """Returns the ranks of members that live."""
        return [self._rank[member] for member in members]

    def block_of(self, group: Members) -> range:
        """Returns the ranks of a group of living members, which are contiguous; for schedulers."""
        return range(self._rank[group[0]], self._rank[group[0]] + len(group)) if group else range(0)

    def group_of(self, block: range) -> Members:
        """Returns the members with a block of ranks; for what a scheduler has chosen."""
        return self.members[block.start : block.stop]

    def living(self, group: Members) -> Members:
        """Returns the members of a group that live."""
        return tuple(member for member in group if member in self._rank)

    def intact(self, group: Members | None) -> Members | None:
        """Returns the group if all its members live, else None."""
        return None if group is None or len(self.living(group)) < len(group) else group

    def shrunk(self, ranks: Sequence[int]) -> World:
        """Returns the next generation, in which only the members with these `ranks` live."""
        return World(generation=self.generation + 1, members=tuple(self.members[rank] for rank in ranks))


def place_in(member: int, group: Members) -> int | None:
    """Returns the place of a member in a group; None if it is not in the group."""
    place = bisect_left(group, member)
    return place if place < len(group) and group[place] == member else None
