"""The ways of heartbeats, before and after losses."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpcmtl.dispatch.health.topology import Topology
from hpcmtl.dispatch.membership.world import World


@pytest.mark.parametrize(
    ("hosts", "expected"),
    [(["a"], None), (["a", "a"], 1), (["a", "b"], 1), (["a", "b", "a"], 2), (["a", "b", "b", "a", "a"], 3)],
)
def test_standby_monitor(hosts, expected):
    """The standby monitor is on the node of rank 0 if any other rank is, and another one takes its place."""
    topology = Topology(0, World.first(len(hosts)), tuple(hosts))
    smaller = topology.after(World(generation=1, members=tuple(m for m in range(len(hosts)) if m != expected)))

    assert topology.standby_monitor == expected
    assert smaller.standby_monitor != expected or expected is None


@given(st.lists(st.sampled_from("abc"), min_size=1, max_size=8), st.data())
def test_every_heartbeat_reaches_rank_0(hosts, data):
    """Whichever ranks are lost, each rank sends to one that expects it, and all ways but rank 0's end at rank 0."""
    members = (0, *(m for m in range(1, len(hosts)) if data.draw(st.booleans())))
    world = World(generation=1, members=members)
    views = {member: Topology(member, world, tuple(hosts)) for member in members}

    for member, view in views.items():
        if member:
            assert member in views[view.receiver].senders
            assert 0 in {view.receiver, views[view.receiver].receiver}
    assert sum(len(view.senders) for view in views.values()) == len(members) - 1
    assert views[0].watched == set(members) - {0}
