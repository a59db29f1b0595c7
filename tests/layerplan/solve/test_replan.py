"""New widths for waiting tasks: wider where ranks are free, and unchanged where nothing is gained."""

from __future__ import annotations

import numpy as np

from hpcmtl.layerplan.problem.planning_problem import PlanningProblem
from hpcmtl.layerplan.solve.packing import FixedPart, Schedule
from hpcmtl.layerplan.solve.replan import new_widths
from hpcmtl.taskgraph.levels import Levels


def independent(count: int, ranks: int) -> PlanningProblem:
    """Tasks without edges that scale perfectly, 12 seconds each on one rank."""
    widths = np.arange(1, ranks + 1)
    zeros = np.zeros(count, dtype=np.int64)
    levels = Levels(count, np.empty((0, 2), dtype=np.int64))
    times = np.tile(12.0 / widths, (count, 1))
    return PlanningProblem(tuple("abcdef"[:count]), times, widths, levels, ranks, zeros, zeros + 1, zeros * 1.0)


def nothing_started(count: int, *busy: tuple[range, float]) -> FixedPart:
    """All tasks wait, while some ranks are busy."""
    zeros = np.zeros(count)
    none = Schedule(zeros.astype(np.int64), zeros, zeros, zeros.astype(np.int64))
    return FixedPart(0.0, zeros.astype(np.bool_), none, busy)


def test_free_ranks_are_used() -> None:
    """One task planned on one rank gets all four when nothing else waits."""
    problem = independent(1, 4)
    columns = new_widths(problem, np.array([0]), nothing_started(1))

    assert problem.widths[columns].tolist() == [4]


def test_busy_ranks_are_left_out() -> None:
    """A task does not wait for ranks that are busy for longer than the task takes on the free ones."""
    problem = independent(1, 4)
    columns = new_widths(problem, np.array([3]), nothing_started(1, (range(2), 100.0)))

    assert problem.widths[columns].tolist() == [2]


def test_good_widths_are_kept() -> None:
    """Widths with a makespan at the lower bound stay as they are."""
    problem = independent(4, 4)
    columns = new_widths(problem, np.array([1, 1, 1, 1]), nothing_started(4))

    assert columns.tolist() == [1, 1, 1, 1]
