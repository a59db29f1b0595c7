from __future__ import annotations

import numpy as np
import pytest

from hpcmtl.jobfile.work import Work
from hpcmtl.layerplan.problem.planning_problem import WIDTH_STEP, make_problem
from hpcmtl.taskgraph.graph import TaskGraph, TaskNode


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
