"""Members keep their ids through any losses; their ranks are dense, and groups that are intact stay contiguous."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpcmtl.dispatch.membership.world import World, place_in


@given(st.integers(1, 20), st.lists(st.integers(0, 19), max_size=10), st.data())
def test_losses_one_after_the_other(size, dying, data):
    """After each loss the members that live have ranks 0 to size - 1 in their order, in the next generation."""
    world, dead = World.first(size), set()
    for member in dying:
        if member not in world or world.size == 1:
            continue
        dead.add(member)
        world = world.shrunk([rank for rank in range(world.size) if world.member_of(rank) != member])
    start, width = data.draw(st.integers(0, world.size - 1)), data.draw(st.integers(1, world.size))
    block = range(start, min(start + width, world.size))
    group = world.group_of(block)

    assert world.generation == len(dead)
    assert world.members == tuple(member for member in range(size) if member not in dead)
    assert [world.rank_of(member) for member in world.members] == list(range(world.size))
    assert world.block_of(group) == block
    assert world.ranks_of(group) == list(block)


def test_groups_after_a_loss():
    """A group that lost a member is not intact any more; another one is as it was, on other ranks."""
    world = World.first(6).shrunk([0, 2, 3, 4, 5])

    assert (world.intact((1, 2)), world.living((1, 2))) == (None, (2,))
    assert (world.intact((3, 4)), world.block_of((3, 4))) == ((3, 4), range(2, 4))
    assert (world.intact(None), len(world.block_of(()))) == (None, 0)
    assert 1 not in world
    with pytest.raises(KeyError):
        world.rank_of(1)


@given(st.sets(st.integers(0, 30), min_size=1), st.integers(0, 30))
def test_place_in_a_group(members, member):
    """The place of a member is its index in the group, and None for all others."""
    group = tuple(sorted(members))

    assert place_in(member, group) == (group.index(member) if member in members else None)
