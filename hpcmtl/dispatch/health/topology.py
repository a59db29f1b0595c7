"""The ways that heartbeats take: from the members of a node to its first member, from there to rank 0."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

from hpcmtl.dispatch.membership.world import COORDINATOR

if TYPE_CHECKING:
    from hpcmtl.dispatch.membership.world import World


@dataclass(frozen=True)
class Topology:
    """The receivers and senders of heartbeats, as one member sees them.

    Attributes:
        member: this member.
        world: the members that live.
        hosts: host of each member of the first generation, by id.
    """

    member: int
    world: World
    hosts: tuple[str, ...]

    @cached_property
    def nodes(self) -> dict[str, list[int]]:
        """Living members of each host, in the order of their ranks; the first one sends for its node."""
        found: dict[str, list[int]] = {}
        for member in self.world.members:
            found.setdefault(self.hosts[member], []).append(member)
        return found

    @property
    def node(self) -> list[int]:
        """Living members on the node of this member."""
        return self.nodes[self.hosts[self.member]]

    @cached_property
    def standby_monitor(self) -> int | None:
        """Member that watches rank 0: another one of its node, or else rank 1; None if rank 0 is alone."""
        others = [member for member in self.world.members if member != COORDINATOR]
        near = (member for member in others if self.hosts[member] == self.hosts[COORDINATOR])
        return next(near, others[0] if others else None)

    @property
    def receiver(self) -> int | None:
        """Member that gets the heartbeats of this one; None if rank 0 is alone."""
        if self.member == COORDINATOR:
            return self.standby_monitor
        return self.node[0] if self.node[0] != self.member else COORDINATOR

    @property
    def senders(self) -> set[int]:
        """Members that send their heartbeats to this one, to be sent on or recorded."""
        found = set(self.node) if self.node[0] == self.member else set()
        if self.member == COORDINATOR:
            found |= {node[0] for node in self.nodes.values()}
        return found - {self.member}

    @property
    def watched(self) -> set[int]:
        """Members whose silence this one looks for; empty for all but rank 0 and the standby monitor."""
        if self.member == COORDINATOR:
            return set(self.world.members) - {COORDINATOR}
        return {COORDINATOR} if self.member == self.standby_monitor else set()

    def after(self, world: World) -> Topology:
        """Returns the ways in another world, with the same hosts."""
        return replace(self, world=world)
