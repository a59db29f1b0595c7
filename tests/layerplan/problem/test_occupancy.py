"""The earliest slot is found, whatever is taken, and nothing is given twice."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from hpcmtl.layerplan.problem.occupancy import Occupancy


def ones(mask: int, ranks: int) -> set[int]:
    """The ranks of a bit mask."""
    return {rank for rank in range(ranks) if mask >> rank & 1}


@given(st.data())
def test_the_earliest_slot_of_all(data: Any) -> None:
    """Against a table of ranks and moments: the slot is free, all firsts are named, and none begins sooner."""
    ranks = data.draw(st.integers(1, 12))
    occupancy, taken = Occupancy(ranks), [[False] * ranks for _ in range(200)]
    for _ in range(data.draw(st.integers(1, 12))):
        ready, seconds = data.draw(st.integers(0, 9)), data.draw(st.integers(1, 5))
        width = data.draw(st.integers(1, ranks))
        allowed = data.draw(st.integers(0, 2**ranks - 1)) | 1 << data.draw(st.integers(0, ranks - width))

        def firsts(start: int, seconds: int = seconds, width: int = width, allowed: int = allowed) -> set[int]:
            return {
                first
                for first in range(ranks - width + 1)
                if allowed >> first & 1
                and not any(taken[t][r] for t in range(start, start + seconds) for r in range(first, first + width))
            }

        slot = occupancy.find(float(ready), float(seconds), width, allowed)
        expected = next(start for start in range(ready, 100) if firsts(start))

        assert slot is not None
        assert (slot.start, slot.end) == (expected, expected + seconds)
        assert occupancy.find(float(ready), float(seconds), width, allowed, slot.end) is None
        assert occupancy.find(float(ready), float(seconds), width, allowed, slot.end + 0.1) == slot
        assert ones(slot.firsts, ranks) == firsts(expected)
        first = data.draw(st.sampled_from(sorted(firsts(expected))))
        occupancy.take(slot, first, width)
        for t in range(expected, expected + seconds):
            for rank in range(first, first + width):
                taken[t][rank] = True


def test_blocked_ranks() -> None:
    """A rank that is blocked for some time is used before and after it, and a taken one stays taken."""
    occupancy = Occupancy(3)
    occupancy.take(occupancy.find(0.0, 2.0, 1, 0b100), 2, 1)
    occupancy.block(1.0, 4.0, 0b110)

    assert occupancy.find(0.0, 1.0, 2, 0b111)[:3] == (0.0, 1.0, 0b001)
    assert occupancy.find(0.0, 2.0, 2, 0b111)[:3] == (4.0, 6.0, 0b011)


def test_only_some_firsts() -> None:
    """A block begins where it may, even if it could begin sooner elsewhere."""
    occupancy = Occupancy(4)
    occupancy.take(occupancy.find(0.0, 3.0, 1, 0b0100), 2, 1)

    assert occupancy.find(0.0, 1.0, 2, 0b0101)[:3] == (0.0, 1.0, 0b0001)
    assert occupancy.find(0.0, 1.0, 2, 0b0100)[:3] == (3.0, 4.0, 0b0100)


def test_work_is_what_was_visited() -> None:
    """A search that begins late counts the intervals from there on, and none where there is no time at all."""
    occupancy = Occupancy(2)
    for start in range(4):
        occupancy.take(occupancy.find(float(start), 1.0, 1, 0b01), 0, 1)
    before = occupancy.work

    assert occupancy.find(2.5, 1.0, 2, 0b11, 3.0) is None
    assert occupancy.work == before
    assert occupancy.find(2.5, 1.0, 2, 0b11)[:2] == (4.0, 5.0)
    assert 1 <= occupancy.work - before <= 3
