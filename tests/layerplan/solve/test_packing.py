from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from hpcmtl.layerplan.problem.planning_problem import PlanningProblem
from hpcmtl.layerplan.solve.packing import FixedPart, Schedule, pack, pack_next, replay
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


def test_longer_bottom_levels_go_first() -> None:
    """Of two tasks that cannot run together, the one with more seconds behind it starts."""
    assert starts([2, 2, 1], [1.0, 2.0, 5.0], 2, [(0, 2)]) == [0.0, 6.0, 1.0]


def test_a_narrow_task_fills_the_hole_beside_one_that_must_wait() -> None:
    """A ready task that does not fit does not hold up one that does."""
    assert starts([2, 3, 1], [4.0, 3.0, 1.0], 3, []) == [0.0, 4.0, 0.0]


def test_precedence_holds_a_task_back() -> None:
    """A consumer starts when its last producer has ended, ranks or no ranks."""
    assert starts([1, 1, 1], [1.0, 3.0, 1.0], 4, [(0, 2), (1, 2)]) == [0.0, 0.0, 3.0]


def test_what_comes_next_alone() -> None:
    """The next few tasks get the places that a whole packing gives them; the others have none."""
    made = problem([2, 1, 1, 2], [4.0, 3.0, 1.0, 1.0], 2, [(0, 3)])
    columns, nothing = made.allowed.argmax(axis=1), np.zeros(4, dtype=np.bool_)
    nowhere = Schedule(columns, np.zeros(4), np.zeros(4), columns)
    whole = pack(made, columns, moldable_until=np.inf)

    for most in range(5):
        some = pack_next(made, columns, np.inf, FixedPart(0.0, nothing, nowhere), most=most)
        placed = np.isfinite(some.start)
        assert placed.sum() == most
        assert some.start[placed].tolist() == whole.start[placed].tolist()


@pytest.mark.parametrize("started", range(3))
def test_consumers_of_a_task_that_runs_wait_for_it(started: int) -> None:
    """A task that has started is a producer like any other: its consumer begins at its end, and others at once."""
    consumers = {0: 3, 1: 4, 2: 5}
    made = problem([1] * 6, [2.0] * 6, 6, list(consumers.items()))
    columns, runs = made.allowed.argmax(axis=1), np.arange(6) == started
    known = Schedule(columns, np.full(6, 0.0), np.full(6, 5.0), np.zeros(6, dtype=np.int64))
    found = pack_next(made, columns, np.inf, FixedPart(1.0, runs, known), most=6)

    assert [found.start[consumers[task]] for task in range(3)] == [5.0 if task == started else 3.0 for task in range(3)]


@pytest.mark.parametrize(("busy", "start", "rank"), [(range(2), 5.0, 0), (range(1), 1.0, 1), (range(1, 2), 1.0, 0)])
def test_ranks_that_are_busy_otherwise(busy: range, start: float, rank: int) -> None:
    """A task starts at once on a rank that is free; if all are busy, it waits until they are not."""
    made = problem([1], [2.0], 2, [])
    columns, nothing = made.allowed.argmax(axis=1), np.zeros(1, dtype=np.bool_)
    nowhere = Schedule(columns, np.zeros(1), np.zeros(1), columns)
    found = pack(made, columns, fixed=FixedPart(1.0, nothing, nowhere, ((busy, 5.0),)))

    assert (found.start.tolist(), found.first_rank.tolist()) == ([start], [rank])


@pytest.mark.parametrize(("until", "width", "end"), [(None, 2, 12.0), (15.0, 1, 3.0)])
def test_a_task_that_would_wait_takes_fewer_ranks(until: float | None, width: int, end: float) -> None:
    """While one of two ranks is taken, a task for both ends sooner on the other one, if widths may change."""
    made = problem([1, 2], [10.0, 2.0], 2, [])
    made.times[1, 0] = 3.0
    found = pack(made, np.array([0, 1]), moldable_until=until)

    assert (made.widths[found.columns[1]], found.end[1]) == (width, end)


def test_a_late_task_holds_up_its_ranks_and_its_consumers() -> None:
    """Other seconds move what comes after on the same ranks, and what needs them, and nothing else."""
    made = problem([1, 1, 1, 1], [2.0, 2.0, 2.0, 2.0], 2, [(0, 3)])
    columns = made.allowed.argmax(axis=1)
    plan = Schedule(columns, np.array([0.0, 0, 2, 2]), np.array([2.0, 2, 4, 4]), np.array([0, 1, 0, 1]))

    assert replay(made, plan, np.array([3.0, 2, 2, 2])).start.tolist() == [0, 0, 3, 3]
    assert replay(made, plan, np.array([2.0, 3, 2, 2])).start.tolist() == [0, 0, 2, 3]


def test_barriers_hold_in_a_replay() -> None:
    """With waves everything waits for the last of the wave before."""
    made = problem([1, 1, 1], [2.0, 2.0, 2.0], 2, [])
    columns = made.allowed.argmax(axis=1)
    plan = Schedule(columns, np.array([0.0, 0, 2]), np.array([2.0, 2, 4]), np.array([0, 1, 0]), np.array([0, 0, 1]))

    assert replay(made, plan, np.array([1.0, 5, 2])).start.tolist() == [0, 0, 5]
