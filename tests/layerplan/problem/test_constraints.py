from __future__ import annotations

import numpy as np

from hpcmtl.layerplan.problem.constraints import apply_constraints
from hpcmtl.layerplan.problem.planning_problem import PlanningProblem
from hpcmtl.layerplan.problem.rules import PlacementRules
from hpcmtl.taskgraph.levels import Levels


def test_needs_travel_along_a_chain_of_shared_blocks() -> None:
    """Tasks that share a block one behind the other all get the widths, memory and nodes that the last one needs."""
    times = np.ones((4, 4))
    times[3, :2] = np.inf  # the last of the chain needs three ranks or four
    zeros = np.zeros(4, dtype=np.int64)
    rules = PlacementRules(
        node=4,
        exclusive=np.array([False, False, False, True]),
        memory=np.array([1.0, 2.0, 1.0, 5.0]),
        rank_memory=np.full(4, 9.0),
        gpu_memory=np.array([0.0, 3.0, 0.0, 2.0]),
        rank_gpu_memory=np.full(4, 4.0),
        same_block=np.array([-1, -1, 1, 2]),
    )
    levels = Levels(4, np.empty((0, 2), dtype=np.int64))
    problem = PlanningProblem(tuple("abcd"), times, np.arange(1, 5), levels, 4, zeros, zeros + 1, zeros * 1.0, rules)
    found = apply_constraints(problem)

    assert np.isfinite(found.times).tolist() == [[True] * 4, *[[False, False, True, True]] * 3]
    assert found.rules.exclusive is not None
    assert found.rules.exclusive.tolist() == [False, True, True, True]
    assert found.rules.memory is not None
    assert found.rules.memory.tolist() == [1.0, 5.0, 5.0, 5.0]
    assert found.rules.gpu_memory is not None
    assert found.rules.gpu_memory.tolist() == [0.0, 3.0, 3.0, 3.0]
    assert found.levels.depths.tolist() == [0, 0, 1, 2]
