"""The local search, and the incremental packing that it rests on."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from problems import problems

from hpcmtl.errors import InputError
from hpcmtl.layerplan.problem.constraints import apply_constraints
from hpcmtl.layerplan.problem.planning_problem import PlanningProblem
from hpcmtl.layerplan.report.check import schedule_violations
from hpcmtl.layerplan.solve.budget import LEAST_SECONDS, MOST_SECONDS, WORK_A_SECOND, first_plan_work
from hpcmtl.layerplan.solve.candidates import narrowest, widest
from hpcmtl.layerplan.solve.improve import KICK_LIMIT, _Search, improve
from hpcmtl.layerplan.solve.packing import pack
from hpcmtl.layerplan.solve.sequence import SequencePacking, Solution
from hpcmtl.taskgraph.levels import Levels


def placeable(problem: PlanningProblem) -> PlanningProblem | None:
    """The problem with its rules applied, or None if a task fits nowhere."""
    try:
        return apply_constraints(problem)
    except InputError:
        return None


@settings(max_examples=min(60, settings.default.max_examples), deadline=None)
@given(problems(), st.sampled_from([widest, narrowest]))
def test_more_work_is_never_worse(drawn: PlanningProblem, start: Any) -> None:
    """Every plan obeys all rules, a larger budget never gives a longer one, and the same budget gives the same plan."""
    problem = placeable(drawn)
    if problem is None:
        return
    known = pack(problem, start(problem))
    found = [improve(problem, known, 0.0, work) for work in (0, 3000, 30_000, 100_000)]

    assert all(schedule_violations(problem, plan) == [] for plan in found)
    spans = [known.makespan, *(plan.makespan for plan in found)]
    assert spans == sorted(spans, reverse=True)
    again = improve(problem, known, 0.0, 100_000)
    assert again.start.tolist() == found[-1].start.tolist()
    assert again.columns.tolist() == found[-1].columns.tolist()


@settings(max_examples=min(60, settings.default.max_examples), deadline=None)
@given(problems(), st.data())
def test_a_part_is_packed_as_the_whole_is(drawn: PlanningProblem, data: Any) -> None:
    """Packing from a changed position on gives the starts and places of packing everything."""
    problem = placeable(drawn)
    if problem is None:
        return
    known = pack(problem, widest(problem))
    assert known.sequence is not None
    sequence, columns = list(known.sequence), known.columns.tolist()
    packing = SequencePacking(problem)
    first = packing.trial(Solution(sequence, columns), 0, np.inf)
    assert first is not None
    assert first.start == known.start.tolist()
    packing.accept(first)
    since = data.draw(st.integers(0, len(sequence) - 1))
    changed = columns[:]
    if problem.rules.same_block is None:
        changed[sequence[since]] = int(narrowest(problem)[sequence[since]])
    part = packing.trial(Solution(sequence, changed), since, np.inf)
    whole = SequencePacking(problem).trial(Solution(sequence, changed), 0, np.inf)

    assert part is not None
    assert whole is not None
    assert (part.start, part.end, part.first_rank) == (whole.start, whole.end, whole.first_rank)


def test_a_kick_leaves_the_best_solution() -> None:
    """Some changes are kept whatever they cost, within the limit, so that the next descent starts elsewhere."""
    problem = PlanningProblem(
        tuple("abcdefg"),
        np.repeat([[4.0, 2.0], [3.0, 1.5]], [4, 3], axis=0),
        np.array([1, 2]),
        Levels(7, np.zeros((0, 2), dtype=np.int64)),
        4,
        np.zeros(7, dtype=np.int64),
        np.ones(7, dtype=np.int64),
        np.zeros(7),
    )
    search = _Search(problem, pack(problem, widest(problem)))
    home = search._at
    search.kick(0.0)

    assert search._at == home
    search.kick(np.inf)
    assert search._at != home
    assert search.packing.packed.makespan <= search.best.makespan * KICK_LIMIT


def test_the_work_of_a_first_plan() -> None:
    """It is a fiftieth of the makespan, within limits."""
    seconds = [first_plan_work(makespan) / WORK_A_SECOND for makespan in (0.0, 50.0, 1e6)]

    assert seconds == [LEAST_SECONDS, 1.0, MOST_SECONDS]
