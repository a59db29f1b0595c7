"""Each certified bound is what its formula says, on problems whose bound is known in closed form."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpcmtl.layerplan.problem.planning_problem import PlanningProblem
from hpcmtl.layerplan.solve.bounds import lower_bound, simple_bound, window_bound
from hpcmtl.taskgraph.levels import Levels

SECONDS = st.lists(st.integers(1, 50).map(float), min_size=1, max_size=8)


def problem_of(seconds: list[float], ranks: int, *, chain: bool, release: float = 0.0) -> PlanningProblem:
    """Tasks of one rank each, one after the other or independent, of which the first may not start before `release`."""
    count = len(seconds)
    pairs = [(i, i + 1) for i in range(count - 1)] if chain else []
    zeros, names = np.zeros(count, dtype=np.int64), tuple(f"t{i}" for i in range(count))
    starts = np.zeros(count)
    starts[0] = release
    levels = Levels(count, np.array(pairs, dtype=np.int64).reshape(-1, 2))
    return PlanningProblem(names, np.array([seconds]).T, np.array([1]), levels, ranks, zeros, zeros + 1, starts)


@given(SECONDS, st.integers(1, 9), st.integers(0, 30).map(float))
def test_a_chain_takes_its_release_and_the_sum_of_its_times(seconds: list[float], ranks: int, release: float) -> None:
    """However many ranks there are: the critical path is part of each bound by itself."""
    problem = problem_of(seconds, ranks, chain=True, release=release)

    for bound in (simple_bound(problem), window_bound(problem), lower_bound(problem, None)):
        assert bound == pytest.approx(release + sum(seconds))


@given(SECONDS, st.integers(1, 9))
def test_independent_tasks_take_their_area_or_the_longest(seconds: list[float], ranks: int) -> None:
    """The bound is the larger of the area over all ranks and the longest task."""
    problem = problem_of(seconds, ranks, chain=False)

    assert simple_bound(problem) == pytest.approx(max(sum(seconds) / ranks, *seconds, 0.0))
    assert lower_bound(problem, None) == pytest.approx(simple_bound(problem))
