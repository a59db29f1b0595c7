"""Propagation of placement rules into a planning problem, so that allocation and bounds respect them."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from hpcmtl.errors import InputError, Problem
from hpcmtl.taskgraph.levels import Levels

if TYPE_CHECKING:
    from hpcmtl.layerplan.problem.planning_problem import PlanningProblem


def apply_constraints(problem: PlanningProblem) -> PlanningProblem:
    """Returns the problem without the widths that fit nowhere, and with edges between tasks that share a block.

    Raises:
        InputError: if a task fits nowhere; the message names all such tasks.
    """
    if not problem.rules.any:
        return problem
    problem = _share_blocks(problem)
    times = problem.times.copy()
    placement = problem.placement
    for task in range(len(times)):
        for column, width in enumerate(problem.widths.tolist()):
            if np.isfinite(times[task, column]) and not placement.firsts(task, width, placement.speeds[-1]):
                times[task, column] = np.inf
    unplaceable = np.flatnonzero(~np.isfinite(times).any(axis=1))
    if len(unplaceable):
        raise InputError(
            Problem(
                problem.names[task], "fits nowhere: no width that it may have fits the rules of nodes, memory and GPUs"
            )
            for task in unplaceable
        )
    return replace(problem, times=times)


def _share_blocks(problem: PlanningProblem) -> PlanningProblem:
    """Serialises tasks that share a block, and gives all of them the strictest needs of any of them."""
    rules, levels = problem.rules, problem.levels
    if rules.same_block is None:
        return problem
    followers = np.flatnonzero(rules.same_block >= 0)
    leaders = rules.same_block[followers]
    levels = Levels(levels.tasks, np.concatenate([levels.edges, np.stack([leaders, followers], axis=1)]))
    deepest_first = followers[np.argsort(-levels.depths[followers], kind="stable")].tolist()
    times = problem.times.copy()
    exclusive = None if rules.exclusive is None else rules.exclusive.copy()
    memories = [each.copy() for each in (rules.memory, rules.gpu_memory) if each is not None]
    for task in deepest_first:  # the needs of a chain of tasks are collected at its first task ...
        leader = rules.same_block[task]
        times[leader, ~np.isfinite(times[task])] = np.inf
        if exclusive is not None:
            exclusive[leader] |= exclusive[task]
        for memory in memories:
            memory[leader] = max(memory[leader], memory[task])
    for task in reversed(deepest_first):  # ... and passed back from there
        leader = rules.same_block[task]
        times[task, ~np.isfinite(times[leader])] = np.inf
        if exclusive is not None:
            exclusive[task] = exclusive[leader]
        for memory in memories:
            memory[task] = memory[leader]
    rules = replace(
        rules,
        exclusive=exclusive,
        memory=None if rules.memory is None else memories[0],
        gpu_memory=None if rules.gpu_memory is None else memories[-1],
    )
    return replace(problem, times=times, levels=levels, rules=rules)
