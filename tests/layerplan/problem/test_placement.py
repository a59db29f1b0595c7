"""Whatever the rules of nodes, memory, speed and shared places, a plan keeps them, or the problem is refused."""

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
from hpcmtl.layerplan.problem.planning_problem import PlanningProblem
from hpcmtl.layerplan.problem.rules import PlacementRules
from hpcmtl.layerplan.report.check import schedule_violations
from hpcmtl.layerplan.solve.packing import Schedule
from hpcmtl.layerplan.solve.policies import plan_problem
from hpcmtl.taskgraph.levels import Levels


@given(problems(), st.sampled_from(["variable", "sequential", "one_rank"]))
def test_every_rule_is_kept(problem: PlanningProblem, policy: str) -> None:
    """A plan passes the independent check and is not shorter than its bound, or a task is named that fits nowhere."""
    with contextlib.ExitStack() as stack:
        if not placeable(problem):
            stack.enter_context(pytest.raises(InputError, match="fits nowhere"))
        schedule, bound = plan_problem(problem, policy)

        assert schedule_violations(problem, schedule) == []
        assert schedule.makespan >= bound * (1 - 1e-9)


def placeable(problem: PlanningProblem) -> bool:
    """Returns true if each task, with all that share its block, has width and first rank by the independent check."""
    leaders = np.full(len(problem.names), -1) if problem.rules.same_block is None else problem.rules.same_block
    blocks: dict[int, set[tuple[int, int]]] = {}
    for task, leader in enumerate(leaders.tolist()):
        alone = replace(problem.part(np.array([task]), 0.0), release=np.zeros(1))
        possible = {
            (column, first)
            for column, width in enumerate(problem.widths.tolist())
            if np.isfinite(problem.times[task, column])
            for first in range(problem.ranks - width + 1)
            if not schedule_violations(alone, placed(alone, column, first))
            if first % (problem.rules.node or problem.ranks) == 0 or not exclusive(problem, leaders, task)
        }
        chain = task if leader < 0 else next(root for root in iterate(leaders, task) if leaders[root] < 0)
        blocks[chain] = blocks.get(chain, possible) & possible
    return all(blocks.values())


def exclusive(problem: PlanningProblem, leaders: Any, task: int) -> bool:
    """Returns true if a task, or one that shares its block, has its nodes for itself, and so begins at one."""
    roots = [list(iterate(leaders, other))[-1] for other in range(len(leaders))]
    chosen = problem.rules.exclusive
    return chosen is not None and any(chosen[other] for other, root in enumerate(roots) if root == roots[task])


def iterate(leaders: Any, task: int) -> Any:
    """A task, its leader, the leader of that one, and so on."""
    while task >= 0:
        yield task
        task = leaders[task]


def placed(alone: PlanningProblem, column: int, first: int) -> Schedule:
    """The only task at once on a block."""
    width, speed = int(alone.widths[column]), alone.rules.rank_speed
    seconds = alone.times[0, column] / (1.0 if speed is None else speed[first : first + width].min())
    return Schedule(np.array([column]), np.zeros(1), np.array([seconds]), np.array([first]))


def tasks(count: int, ranks: int, **rules: Any) -> PlanningProblem:
    """Equal tasks of one second on two ranks, without edges."""
    times = np.full((count, ranks), np.inf)
    times[:, 1] = 1.0
    zeros, names = np.zeros(count, dtype=np.int64), tuple("abcdefg"[:count])
    levels = Levels(count, np.empty((0, 2), dtype=np.int64))
    widths = np.arange(1, ranks + 1)
    return PlanningProblem(names, times, widths, levels, ranks, zeros, zeros + 1, zeros * 1.0, PlacementRules(**rules))


def test_an_exclusive_task_has_its_node() -> None:
    """Four tasks of two ranks fit on eight ranks; if they want their nodes of four for themselves, two do."""
    assert plan_problem(tasks(4, 8, node=4))[0].makespan == 1.0
    assert plan_problem(tasks(4, 8, node=4, exclusive=np.full(4, True)))[0].makespan == 2.0


def test_nodes_are_not_straddled() -> None:
    """Nodes of three ranks hold one task of two ranks each."""
    assert plan_problem(tasks(3, 6))[0].makespan == 1.0
    assert plan_problem(tasks(3, 6, node=3))[0].makespan == 2.0


def test_shared_places() -> None:
    """Tasks that share a block run one after the other on it, though there is room beside."""
    schedule, _ = plan_problem(tasks(3, 8, same_block=np.array([-1, 0, 1])))

    assert sorted(schedule.start) == [0.0, 1.0, 2.0]
    assert len(set(schedule.first_rank)) == 1
    with pytest.raises(InputError, match="waves are planned one by one"):
        plan_problem(tasks(3, 8, same_block=np.array([-1, 0, 1])), "waves")


def test_slow_ranks_come_last() -> None:
    """The faster half is taken first, and the slower one only by what ends sooner there than by waiting."""
    speed = np.array([0.4, 0.4, 1.0, 1.0])
    schedule, _ = plan_problem(tasks(2, 4, rank_speed=speed))

    assert schedule.makespan == 2.0
    assert set(schedule.first_rank) == {2}


def test_a_task_that_fits_nowhere_is_named() -> None:
    """Ranks with enough memory must be side by side."""
    problem = tasks(2, 4, memory=np.array([5.0, 1.0]), rank_memory=np.array([9.0, 1.0, 9.0, 1.0]))
    with pytest.raises(InputError, match="a: fits nowhere"):
        plan_problem(problem)

    schedule, _ = plan_problem(replace(problem, rules=replace(problem.rules, memory=np.array([1.0, 1.0]))))
    assert schedule.makespan == 1.0
