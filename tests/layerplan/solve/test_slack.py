"""The slack of a task is what `replay` says: so much later, and the plan ends later."""

import numpy as np
import pytest

from hpcmtl.layerplan.problem.planning_problem import PlanningProblem
from hpcmtl.layerplan.solve.packing import pack, replay
from hpcmtl.layerplan.solve.policies import POLICIES
from hpcmtl.layerplan.solve.slack import slack
from hpcmtl.taskgraph.levels import Levels


def problem(widths, seconds, ranks, edges):
    """Rigid tasks: each may have one width alone."""
    times = np.full((len(widths), ranks), np.inf)
    times[np.arange(len(widths)), np.array(widths) - 1] = seconds
    zeros = np.zeros(len(widths), dtype=np.int64)
    levels = Levels(len(widths), np.array(edges, dtype=np.int64).reshape(-1, 2))
    names = tuple("abcdefgh"[: len(widths)])
    return PlanningProblem(names, times, np.arange(1, ranks + 1), levels, ranks, zeros, zeros + 1, np.zeros(len(names)))


def test_ranks_as_the_bottleneck():
    """On one rank each of two independent tasks is critical; beside a longer one on two ranks the short one is not."""
    one, two = problem([1, 1], [3.0, 1.0], 1, []), problem([1, 1], [3.0, 1.0], 2, [])
    both, beside = (pack(each, each.allowed.argmax(axis=1)) for each in (one, two))

    assert slack(one, both).tolist() == [0.0, 0.0]
    assert slack(two, beside).tolist() == [0.0, 2.0]


@pytest.mark.parametrize("barriers", [False, True])
@pytest.mark.parametrize("seed", range(8))
def test_a_delay_within_the_slack_is_free_and_one_beyond_it_is_not(seed, barriers):
    """Each task alone is replayed with its slack, and with a little more."""
    random = np.random.default_rng(seed)
    edges = [(i, j) for j in range(8) for i in range(j) if random.random() < 0.2]
    made = problem(random.integers(1, 4, 8).tolist(), random.uniform(1, 5, 8).tolist(), 4, edges)
    columns = made.allowed.argmax(axis=1)
    schedule = POLICIES["waves"](made, None, 0.0) if barriers else pack(made, columns)
    seconds = made.times[np.arange(8), schedule.columns]
    schedule = replay(made, schedule, seconds)  # gaps that nothing explains are no slack of the tasks before them

    for task, free in enumerate(slack(made, schedule)):
        late = [replay(made, schedule, seconds + (np.arange(8) == task) * (free + more)) for more in (0.0, 0.1)]
        assert free >= -1e-12
        assert late[0].makespan == pytest.approx(schedule.makespan)
        assert late[1].makespan == pytest.approx(schedule.makespan + 0.1)
