"""Reports of a group reach rank 0 in few messages, each member's once, whatever fails."""

from collections import Counter, deque

from hypothesis import given
from hypothesis import strategies as st

from hpcmtl.dispatch.protocol import LayerDone, LayerFailed
from hpcmtl.dispatch.transport.reduction import FAN, ReportReduction, above, below
from hpcmtl.training.session import LayerOutcome

OUTCOME = LayerOutcome(1, 1, 1.0, 1.0)


@st.composite
def groups(draw):
    """A block of ranks anywhere, the members that fail, and an order in which all report."""
    first, width = draw(st.integers(0, 5)), draw(st.integers(1, 300))
    block = tuple(range(first, first + width))
    failing = draw(st.sets(st.sampled_from(block), max_size=5))
    return block, failing, draw(st.permutations(list(block)))


@given(groups())
def test_everybody_is_heard_once(group):
    """Rank 0 hears of each member that did not fail once, with the outcome, and no rank takes many messages."""
    block, failing, order = group
    ends = {rank: ReportReduction(rank) for rank in {0, *block}}
    heard, came, words = [], Counter(), deque()
    said = {"task": "t", "layer": 0, "group": block, "start_number": 7}
    for rank in order:
        if rank in failing:
            passed = ends[rank].failed(LayerFailed(member=rank, message="boom", **said))
        else:
            outcome = OUTCOME if rank == block[0] else None
            passed = ends[rank].take(LayerDone(member=rank, outcome=outcome, finished=(rank,), **said))
        words.extend([passed] if passed else [])
        while words:
            to, word = words.popleft()
            came[to] += 1
            final = word.member == block[0] or len(block) <= FAN
            passed = None if final else ends[to].take(word)
            heard.extend([word] if final else [])
            words.extend([passed] if passed else [])

    assert sorted(rank for word in heard for rank in word.finished) == sorted(set(block) - failing)
    assert [word.outcome for word in heard if word.outcome] == [OUTCOME] * (block[0] not in failing)
    assert max(came.values(), default=0) <= FAN + 1


@given(st.integers(0, 9), st.integers(1, 5000))
def test_the_tree(first, width):
    """Everybody is below somebody of the group but its first, which reports to rank 0; nobody has more than its fan."""
    group = tuple(range(first, first + width))
    counts = Counter(above(place, group) for place in range(1, width))

    assert above(0, group) == 0
    assert counts == {group[place]: below(place, width) for place in range(width) if below(place, width)}
    assert max(counts.values(), default=0) <= FAN
