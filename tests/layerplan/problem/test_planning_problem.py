from __future__ import annotations

import numpy as np
import pytest

from hpcmtl.jobfile.work import Work
from hpcmtl.layerplan.problem.planning_problem import WIDTH_STEP, PlanningProblem, make_problem
from hpcmtl.taskgraph.graph import TaskGraph, TaskNode
from hpcmtl.taskgraph.levels import Levels


@pytest.mark.parametrize("ranks", [1, 16, 64, 65, 100, 512, 4096])
def test_widths_of_many_ranks(ranks: int) -> None:
    """Up to 64 ranks every width counts; above, widths grow by 8 %, and those that tasks ask for are among them."""
    work = Work(1000, 1, 64, 1024, 100_000, trains=True)
    graph = TaskGraph((TaskNode("a", "train", 0, 1, max(ranks - 3, 1), work.input_bytes, 1, work),), ())
    widths = make_problem(graph, ranks).widths

    assert widths[-1] == ranks
    assert max(ranks - 3, 1) in widths
    assert widths[: min(ranks, 16)].tolist() == list(range(1, min(ranks, 16) + 1))
    if ranks <= 64:
        assert len(widths) == ranks
    else:
        assert (widths[1:] <= np.maximum(widths[:-1] + 1, np.ceil(widths[:-1] * WIDTH_STEP) + 1)).all()
        assert len(widths) < 17 + 1.1 * np.log(ranks / 16) / np.log(WIDTH_STEP) + 4


@pytest.mark.parametrize(
    ("ranks", "searched"),
    [
        (64, list(range(1, 65))),
        (130, [1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 14, 16, 20, 24, 28, 32, 40, 48, 56, 64, 80, 96, 112, 128, 130]),
    ],
)
def test_widths_that_are_searched(ranks: int, searched: list[int]) -> None:
    """Of up to 64 widths the search considers all; of more, those with three significant bits, and the widest."""
    widths, zeros = np.arange(1, ranks + 1), np.zeros(1, dtype=np.int64)
    levels = Levels(1, np.empty((0, 2), dtype=np.int64))
    problem = PlanningProblem(("a",), 1.0 / widths[None, :], widths, levels, ranks, zeros, zeros + 1, np.zeros(1))

    assert problem.choices.widths.tolist() == [searched]
    assert problem.choices.times.tolist() == [[1.0 / width for width in searched]]
