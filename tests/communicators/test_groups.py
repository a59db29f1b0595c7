"""The pool of free ranks: never the same rank twice, nothing lost, and blocks where they should lie."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpcmtl.communicators.groups import Pool

WISHES = st.lists(st.tuples(st.booleans(), st.integers(0, 63)), max_size=60)
NODES = st.none() | st.integers(1, 40)


def holes(taken, size):
    """Return the widths of the contiguous stretches of ranks that are in no taken block."""
    marks = "".join("x" if any(rank in block for block in taken) else "." for rank in range(size))
    return [len(stretch) for stretch in marks.split("x")]


@given(size=st.integers(1, 40), ranks_per_node=NODES, wishes=WISHES)
def test_any_sequence_keeps_the_books(size, ranks_per_node, wishes):
    """Blocks never overlap, a width is refused only if no hole has room, and all ranks are free in the end."""
    pool = Pool(size, ranks_per_node)
    taken = []
    for take, number in wishes:
        widest = max(holes(taken, size))
        if take or not taken:
            width = number % size + 1
            block = pool.take(width)
            assert (block is not None) == (width <= widest)
            if block is not None:
                assert len(block) == width
                assert set(block) <= set(range(size))
                assert not any(set(block) & set(other) for other in taken)
                taken.append(block)
        else:
            pool.give_back(taken.pop(number % len(taken)))
        assert pool.free == size - sum(map(len, taken))
        assert pool.widest == max(holes(taken, size))
    for block in taken:
        pool.give_back(block)

    assert pool.take(size) == range(size)


@given(nodes=st.integers(1, 5), ranks_per_node=st.integers(1, 16), data=st.data())
def test_a_group_touches_as_few_nodes_as_a_free_world_allows(nodes, ranks_per_node, data):
    """The first block never straddles nodes that it need not touch."""
    width = data.draw(st.integers(1, nodes * ranks_per_node))
    block = Pool(nodes * ranks_per_node, ranks_per_node).take(width)
    touched = {rank // ranks_per_node for rank in block}

    assert len(touched) == -(-width // ranks_per_node)


@given(exponent=st.integers(0, 6), data=st.data())
def test_powers_of_two_are_aligned_and_fill_the_world(exponent, data):
    """Power-of-two widths lie at their multiples, and any order of them that adds up to the world fits."""
    size = 2**exponent
    pool = Pool(size)
    while pool.free:
        width = 2 ** data.draw(st.integers(0, exponent))
        block = pool.take(min(width, 1 << (pool.free.bit_length() - 1)))
        if block is None:
            break
        assert block.start % len(block) == 0
    else:
        assert pool.take(1) is None


def test_small_groups_leave_large_blocks_whole():
    """A narrow group goes into the smallest free block, also when a larger one comes first."""
    pool = Pool(8)
    low = pool.take(4)
    pair = pool.take(2)
    pool.give_back(low)

    assert (low, pair) == (range(4), range(4, 6))
    assert pool.take(1) == range(6, 7)
    assert pool.take(4) == range(4)


def test_a_partly_used_node_is_filled_first():
    """Whole nodes stay free for groups that need them, also when a node has no power of two of ranks."""
    pool = Pool(24, ranks_per_node=12)
    first = pool.take(4)

    assert first == range(4)
    assert pool.take(4) == range(4, 8)
    assert pool.take(12) == range(12, 24)
    assert pool.take(3) == range(8, 11)


def test_neighbours_merge():
    """Blocks that come back in any order make one hole again."""
    pool = Pool(6)
    blocks = [pool.take(2) for _ in range(3)]
    for block in (blocks[1], blocks[0], blocks[2]):
        pool.give_back(block)

    assert pool.take(6) == range(6)


def test_a_part_of_a_block_can_come_back():
    """A group that shrinks frees the ranks it lost."""
    pool = Pool(4)
    pool.take(4)
    pool.give_back(range(2, 4))

    assert pool.take(2) == range(2, 4)


@pytest.mark.parametrize(
    "block", [range(2), range(1, 3), range(3, 5), range(-1, 1), range(0), range(0, 4, 2)], ids=repr
)
def test_what_was_not_taken_cannot_come_back(block):
    """Free ranks, strangers and blocks with gaps are refused, with what is free in the message."""
    pool = Pool(4)
    pool.take(1)

    with pytest.raises(ValueError, match=r"cannot be given back: free are \[range\(1, 4\)\] of 4 ranks"):
        pool.give_back(block)
    assert pool.free == 3


@pytest.mark.parametrize("width", [0, -1, 5])
def test_impossible_widths_are_refused(width):
    """A width that no state of the pool could serve is an error, not a wait."""
    with pytest.raises(ValueError, match=f"a group of {width} ranks does not fit a world of 4"):
        Pool(4).take(width)


@pytest.mark.parametrize(("size", "ranks_per_node"), [(0, None), (4, 0)])
def test_an_empty_world_is_refused(size, ranks_per_node):
    """A pool has a rank and a node a rank."""
    with pytest.raises(ValueError, match="at least one rank"):
        Pool(size, ranks_per_node)
