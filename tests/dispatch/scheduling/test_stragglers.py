"""Slow ranks are found by what their groups took, and only they."""

from hpcmtl.dispatch.scheduling.stragglers import REMEMBERED_SECONDS, Stragglers
from hpcmtl.layerplan.model.family import Family
from hpcmtl.layerplan.model.speedup import Measurement

FAMILY = Family("train", 1000, 1000, 64, 32)


def note(stragglers, layers, start=0.0):
    """Layers of one family, each a second after the other: (first rank, ranks, seconds of a step)."""
    for count, (first, ranks, seconds) in enumerate(layers):
        layer = Measurement(
            family=FAMILY,
            ranks=ranks,
            nodes=1,
            contention=1.0,
            rows=32 / ranks,
            steps=10,
            step_seconds=seconds,
            seconds=10 * seconds,
        )
        stragglers.note(range(first, first + ranks), layer, start + count)


def test_who_is_as_fast_as_others_is_not_slow():
    """A third more or less is no sign, and neither is one slow layer."""
    stragglers = Stragglers(2)
    note(stragglers, [(0, 1, 1.0), (1, 1, 1.3), (0, 1, 0.8), (1, 1, 1.3), (0, 1, 3.0), (0, 1, 1.0)])

    assert stragglers.speeds(6.0) == (1.0, 1.0)


def test_two_slow_layers_in_a_row():
    """The speed is the better of the two, against the median of the usual ones."""
    stragglers = Stragglers(2)
    note(stragglers, [(0, 1, 1.0), (1, 1, 1.0), (1, 1, 4.0), (1, 1, 2.5)])

    assert stragglers.speeds(4.0) == (1.0, 0.4)


def test_who_was_in_a_fast_group_is_cleared():
    """Of a slow group only those stay under suspicion who were in no other one since."""
    stragglers = Stragglers(4)
    note(stragglers, [(0, 2, 1.0), (2, 2, 1.0), (2, 2, 3.0), (2, 2, 3.0)])
    both = stragglers.speeds(4.0)
    note(stragglers, [(1, 2, 1.0)], start=4.0)

    assert both == (1.0, 1.0, 1 / 3, 1 / 3)
    assert stragglers.speeds(5.0) == (1.0, 1.0, 1.0, 1 / 3)


def test_what_is_long_ago_is_forgotten():
    """A rank that has not been used since gets another chance."""
    stragglers = Stragglers(2)
    note(stragglers, [(0, 1, 1.0), (1, 1, 3.0), (1, 1, 3.0)])

    assert stragglers.speeds(3.0)[1] == 1 / 3
    assert stragglers.speeds(2 * REMEMBERED_SECONDS + 3.0)[1] == 1.0
