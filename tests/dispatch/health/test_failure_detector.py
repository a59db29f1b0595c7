"""Silences of ranks, by a clock of the test's own."""

from hypothesis import given
from hypothesis import strategies as st

from hpcmtl.dispatch.health.failure_detector import PATIENCE, FailureDetector, Silence


def test_a_silent_rank_is_named_once():
    """A rank is suspect after six heartbeats without a word, is named once, and is back with its next word."""
    watch = FailureDetector([1, 2], 5.0, 100.0)
    found = []
    for now in range(105, 145, 5):
        watch.heard(2, now)
        found += watch.check(now)

    assert found == [Silence(member=1, seconds=35.0)]
    assert watch.suspects == {1}
    assert watch.heard(1, 141.0) == Silence(member=1, seconds=41.0, recovered=True)
    assert watch.heard(1, 142.0) is None
    assert watch.suspects == frozenset()


def test_who_slept_blames_nobody():
    """A process that was stopped for an hour finds no rank suspect when it goes on, but those that stay silent."""
    watch = FailureDetector([1], 5.0, 0.0)
    watch.check(5.0)

    assert watch.check(3605.0) == []
    assert [watch.check(3605.0 + 5 * count) for count in range(1, PATIENCE)] == [[]] * (PATIENCE - 1)
    assert watch.check(3605.0 + 5 * PATIENCE) == [Silence(member=1, seconds=35.0)]


@given(st.lists(st.tuples(st.floats(0, 1), st.integers(0, 3)), max_size=60))
def test_names_and_words_alternate(words):
    """A rank is named, is back and is named in turn; one that speaks at every interval is never named."""
    watch, now, named = FailureDetector(range(4), 1.0, 0.0), 0.0, {rank: [] for rank in range(4)}
    for pause, rank in words:
        now += pause
        for heard in {rank, 3}:
            if (silence := watch.heard(heard, now)) is not None:
                named[heard].append(silence.recovered)
        for silence in watch.check(now):
            named[silence.member].append(silence.recovered)

    assert named[3] == []
    assert all(told == [False, True] * (len(told) // 2) + [False] * (len(told) % 2) for told in named.values())
    assert watch.suspects == {rank for rank, told in named.items() if told and not told[-1]}
