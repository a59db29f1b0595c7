"""The plan that a run follows: packed in its turns it is the plan again, whatever of it has begun."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from problems import problems

from hpcmtl.dispatch.scheduling.plan_in_force import PlanInForce
from hpcmtl.dispatch.scheduling.remaining import around
from hpcmtl.layerplan.problem.rules import PlacementRules
from hpcmtl.layerplan.solve.packing import pack

if TYPE_CHECKING:
    from hpcmtl.layerplan.problem.planning_problem import PlanningProblem
    from hpcmtl.layerplan.solve.packing import Schedule


def simple(problem: PlanningProblem) -> PlanningProblem:
    """The tasks without rules of place, with times whose sums are exact."""
    return replace(problem, rules=PlacementRules(), times=np.ceil(problem.times * 8) / 8)


def in_force(problem: PlanningProblem) -> PlanInForce:
    """A plan that packs the tasks on their narrowest widths."""
    none = np.zeros(len(problem.names), dtype=np.int64)
    made = pack(problem, problem.allowed.argmax(axis=1))
    return PlanInForce(none, none, none).replaced(np.arange(len(none)), made)


def packed(problem: PlanningProblem, plan: PlanInForce) -> Schedule:
    """All tasks, packed as the plan says."""
    blocks = [(column, -1) for column in plan.columns.tolist()]
    return plan.pack(problem, np.arange(len(blocks)), blocks, around((), len(blocks)))


@given(problems(), st.data())
def test_a_plan_that_holds_is_kept(problem: PlanningProblem, data: st.DataObject) -> None:
    """At any start of a task, what is left starts as planned if all before took what was predicted."""
    # Of one priority: a task of a higher one goes first as soon as it waits for no other, whatever the plan was.
    problem = replace(simple(problem), priority=np.zeros(len(problem.names), dtype=np.int64))
    plan = in_force(problem)
    whole, widths = packed(problem, plan), problem.widths[plan.columns]
    now = data.draw(st.sampled_from(sorted(whole.start.tolist())))
    running = np.flatnonzero((whole.start < now) & (whole.end > now)).tolist()
    first, end = whole.first_rank, whole.end
    busy = tuple((range(first[i], first[i] + widths[i]), float(end[i]) - now) for i in running)
    left = np.flatnonzero(whole.start >= now)
    release = np.maximum(problem.release, now)
    for producer, consumer in problem.levels.edges.reshape(-1, 2).tolist():
        release[consumer] = max(release[consumer], end[producer] if whole.start[producer] < now else 0.0)
    blocks = [(int(plan.columns[i]), -1) for i in left]
    again = plan.pack(problem.part(left, now, release[left]), left, blocks, around(busy, len(left)))

    assert (now + again.start).tolist() == whole.start[left].tolist()
    assert again.first_rank.tolist() == first[left].tolist()


@given(problems())
def test_higher_priorities_go_first(problem: PlanningProblem) -> None:
    """Of the tasks without producers one of the highest priority is packed first, whatever its turn."""
    problem = simple(problem)
    plan = replace(in_force(problem), turn=np.argsort(np.argsort(problem.priority, kind="stable")))
    first = np.flatnonzero(np.diff(problem.levels.producers.starts) == 0)
    sequence = packed(problem, plan).sequence

    assert sequence is not None
    assert problem.priority[sequence[0]] == problem.priority[first].max()
