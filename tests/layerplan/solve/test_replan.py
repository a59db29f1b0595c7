"""A new plan for what has not started: it keeps the past and the rules, and is never worse than to keep the old one."""

from __future__ import annotations

import contextlib
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from problems import problems

from hpcmtl.errors import InputError
from hpcmtl.layerplan.problem.planning_problem import PlanningProblem, Rules
from hpcmtl.layerplan.report.check import schedule_violations
from hpcmtl.layerplan.solve.packing import FixedPart, Schedule
from hpcmtl.layerplan.solve.policies import plan_problem
from hpcmtl.layerplan.solve.replan import keep, replan
from hpcmtl.taskgraph.levels import Levels


@pytest.mark.slow
@given(problems(), st.floats(0, 1), st.data())
def test_the_rest_is_planned_anew(problem: PlanningProblem, moment: float, data: Any) -> None:
    """At any moment, with ranks lost that nothing runs on: valid, the past as it was, and not worse than before."""
    with contextlib.suppress(InputError):  # a problem that is not sound has no past
        old, _ = plan_problem(problem)
        fixed = FixedPart(now := moment * old.makespan, old.start < now, old)
        busy = fixed.started & (old.end > now)
        gone = np.array([data.draw(st.booleans()) for _ in range(problem.ranks)])
        for task in np.flatnonzero(busy):
            gone[old.first_rank[task] : old.first_rank[task] + problem.widths[old.columns[task]]] = False
        after = replace(problem, rules=replace(problem.rules, lost=gone))
        new = replan(after, old, fixed)
        later = ~fixed.started

        assert schedule_violations(without_lost_blocks(problem, old, fixed, gone), new) == []
        assert (new.start[later] >= now).all()
        assert (new.start[fixed.started] == old.start[fixed.started]).all()
        assert (new.first_rank[fixed.started] == old.first_rank[fixed.started]).all()
        assert new.makespan <= keep(after, old, fixed).makespan * (1 + 1e-9)
        for task in np.flatnonzero(later):
            assert not gone[new.first_rank[task] :][: problem.widths[new.columns[task]]].any()


def without_lost_blocks(problem: PlanningProblem, old: Schedule, fixed: FixedPart, gone: Any) -> PlanningProblem:
    """Nobody has to share a block that has run on ranks which are gone."""
    leaders = problem.rules.same_place
    if leaders is None:
        return problem
    widths = problem.widths[old.columns]
    hit = [gone[first : first + width].any() for first, width in zip(old.first_rank, widths, strict=True)]
    alone = [leader >= 0 and fixed.started[leader] and hit[leader] for leader in leaders]
    return replace(problem, rules=replace(problem.rules, same_place=np.where(alone, -1, leaders)))


def row(count: int, ranks: int) -> PlanningProblem:
    """Tasks that scale perfectly, 12 seconds each on one rank, one after the other."""
    widths = np.arange(1, ranks + 1)
    zeros = np.zeros(count, dtype=np.int64)
    levels = Levels(count, np.array([(i, i + 1) for i in range(count - 1)], dtype=np.int64))
    times = np.tile(12.0 / widths, (count, 1))
    return PlanningProblem(tuple("abcdef"[:count]), times, widths, levels, ranks, zeros, zeros + 1, zeros * 1.0)


def test_fewer_ranks() -> None:
    """When half of the ranks are lost, what is left runs on the other half."""
    problem = row(3, 4)
    old, _ = plan_problem(problem)
    fixed = FixedPart(3.0, old.start < 3.0, old)
    lost = replace(problem, rules=Rules(lost=np.array([True, True, False, False])))
    new = replan(lost, old, fixed)

    assert old.makespan == 9.0
    assert new.makespan == 3.0 + 6.0 + 6.0
    assert new.first_rank.tolist() == [0, 2, 2]


def test_a_late_task() -> None:
    """What waits for a task that takes longer than planned is put off; what does not is not."""
    problem = row(2, 2)
    problem = replace(problem, levels=Levels(2, np.empty((0, 2), dtype=np.int64)))
    old = Schedule(np.array([0, 0]), np.array([0.0, 12.0]), np.array([12.0, 24.0]), np.array([0, 0]))
    late = replace(old, end=np.array([100.0, 24.0]))
    new = replan(problem, old, FixedPart(12.0, np.array([True, False]), late))

    assert (new.start[1], new.first_rank[1]) == (12.0, 1)


def test_no_ranks_left() -> None:
    """What fits nowhere any more is named; when all has started there is nothing to plan."""
    problem = row(2, 2)
    old, _ = plan_problem(problem)
    dead = replace(problem, rules=Rules(lost=np.array([True, True])))
    with pytest.raises(InputError, match="b: fits nowhere"):
        replan(dead, old, FixedPart(1.0, old.start < 1.0, old))

    assert replan(dead, old, FixedPart(50.0, old.start < 50.0, old)) is old
