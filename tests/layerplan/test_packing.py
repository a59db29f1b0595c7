from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from hpcmtl.layerplan.packing import Holes, pack
from hpcmtl.layerplan.problem import PlanningProblem
from hpcmtl.taskgraph.levels import Levels


def problem(widths: list[int], seconds: list[float], ranks: int, edges: list[tuple[int, int]]) -> PlanningProblem:
    """Rigid tasks: each may have one width alone."""
    times = np.full((len(widths), ranks), np.inf)
    times[np.arange(len(widths)), np.array(widths) - 1] = seconds
    zeros = np.zeros(len(widths), dtype=np.int64)
    levels = Levels(len(widths), np.array(edges, dtype=np.int64).reshape(-1, 2))
    names = tuple("abcdefgh"[: len(widths)])
    return PlanningProblem(names, times, np.arange(1, ranks + 1), levels, ranks, zeros, zeros + 1, np.zeros(len(names)))


def starts(*arguments: Any) -> list[float]:
    """Planned starts of rigid tasks."""
    made = problem(*arguments)
    return pack(made, made.allowed.argmax(axis=1)).start.tolist()


@given(st.data())
def test_holes_never_give_a_rank_twice(data: Any) -> None:
    """Whatever is taken and given back, blocks are disjoint, and in the end all ranks are one hole again."""
    ranks = data.draw(st.integers(1, 20))
    holes, held, free = Holes(ranks), [], set(range(ranks))
    for _ in range(data.draw(st.integers(0, 30))):
        if holes.largest and data.draw(st.booleans()):
            width = data.draw(st.integers(1, holes.largest))
            first = holes.take(width)
            assert set(range(first, first + width)) <= free
            free -= set(range(first, first + width))
            held.append((first, width))
        elif held:
            first, width = held.pop(data.draw(st.integers(0, len(held) - 1)))
            free |= set(range(first, first + width))
            holes.give_back(first, width)
    runs = "".join("x" if rank in free else " " for rank in range(ranks)).split()

    assert holes.largest == max(map(len, runs), default=0)


def test_the_smallest_hole_that_fits_is_taken() -> None:
    """Large holes are kept for wide tasks."""
    holes = Holes(8)
    for width in (2, 1, 3):
        holes.take(width)
    holes.give_back(0, 2)  # now free: 0-1 and 6-7, and after this 0-1, 3-7
    holes.give_back(3, 3)

    assert holes.take(2) == 0
    assert holes.take(5) == 3


def test_longer_bottom_levels_go_first() -> None:
    """Of two tasks that cannot run together, the one with more seconds behind it starts."""
    assert starts([2, 2, 1], [1.0, 2.0, 5.0], 2, [(0, 2)]) == [0.0, 6.0, 1.0]


def test_a_narrow_task_fills_the_hole_beside_one_that_must_wait() -> None:
    """A ready task that does not fit does not hold up one that does."""
    assert starts([2, 3, 1], [4.0, 3.0, 1.0], 3, []) == [0.0, 4.0, 0.0]


def test_precedence_holds_a_task_back() -> None:
    """A consumer starts when its last producer has ended, ranks or no ranks."""
    assert starts([1, 1, 1], [1.0, 3.0, 1.0], 4, [(0, 2), (1, 2)]) == [0.0, 0.0, 3.0]
