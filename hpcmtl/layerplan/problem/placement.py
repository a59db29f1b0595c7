"""Where a task may be, as bit masks: nodes, memory, speed, and the block of another task."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING

import numpy as np

from hpcmtl.errors import InputError, Problem
from hpcmtl.layerplan.problem.occupancy import runs
from hpcmtl.taskgraph.levels import Levels

if TYPE_CHECKING:
    from hpcmtl.arrays import Ints
    from hpcmtl.layerplan.problem.planning_problem import PlanningProblem


class Placement:
    """The rules of a problem, task by task.

    Attributes:
        ranks: all ranks; the last node is made up to a whole one, by ranks that no task begins at or reaches to.
        speeds: every speed that ranks have, the highest first.
    """

    def __init__(self, problem: PlanningProblem) -> None:
        rules, ranks = problem.rules, problem.ranks
        self._node = rules.node if 0 < rules.node < ranks else ranks
        self._count, self.ranks = ranks, -(-ranks // self._node) * self._node
        none = [0] * len(problem.names)
        self._exclusive = none if rules.exclusive is None else rules.exclusive.tolist()
        self._guides = [-1] * len(none) if rules.same_place is None else rules.same_place.tolist()
        self._pinned = [-1] * len(none) if rules.pinned is None else rules.pinned.tolist()
        self._memory = none if rules.memory is None else rules.memory.tolist()
        self._rank_memory = np.full(ranks, np.inf) if rules.rank_memory is None else rules.rank_memory
        self._living = np.full(ranks, True) if rules.lost is None else ~rules.lost
        self._rank_speed = np.ones(ranks) if rules.rank_speed is None else rules.rank_speed
        self.speeds: list[float] = np.unique(self._rank_speed)[::-1].tolist()
        self._firsts = cache(self._firsts_of)

    def guide(self, task: int) -> int:
        """The task whose block it shares, or -1."""
        return int(self._guides[task])

    def needed(self, task: int, width: int) -> int:
        """Ranks side by side that must be free: whole nodes if it has them for itself."""
        return -(-width // self._node) * self._node if self._exclusive[task] else width

    def taken(self, task: int, block: range) -> range:
        """The ranks that nobody else may have while a task runs on a block: of its nodes, if it has them for itself."""
        return range(block.start, block.start + self.needed(task, len(block)))

    def firsts(self, task: int, width: int, speed: float) -> int:
        """Bit mask of the ranks that its block may begin at, if all of it is to have at least a speed."""
        firsts = self._firsts(width, bool(self._exclusive[task]), self._memory[task], speed)
        return firsts if self._pinned[task] < 0 else firsts & 1 << self._pinned[task]

    def _firsts_of(self, width: int, exclusive: bool, memory: float, speed: float) -> int:
        inside = 0 if exclusive or width >= self._node else self._node - width
        one_node = (1 << inside + 1) - 1
        nodes = sum(one_node << first for first in range(0, self._count, self._node))
        allowed = nodes & (1 << self._count - width + 1) - 1
        ranks = self._living & (self._rank_memory >= memory) & (self._rank_speed >= speed)
        return allowed & runs(_mask(ranks), width)


def apply_constraints(problem: PlanningProblem, tasks: Ints | None = None) -> PlanningProblem:
    """Take the rules into the table and the edges: no time for a width that fits nowhere, and shared blocks in turn.

    Args:
        problem: the tasks and the rules.
        tasks: those that are still to be placed; all by default.

    Raises:
        InputError: if a task fits nowhere.
    """
    if not problem.rules.any:
        return problem
    problem = _together(problem)
    times = problem.times.copy()
    placement = problem.placement
    for task in range(len(times)) if tasks is None else tasks.tolist():
        for column, width in enumerate(problem.widths.tolist()):
            if np.isfinite(times[task, column]) and not placement.firsts(task, width, placement.speeds[-1]):
                times[task, column] = np.inf
    lost = np.flatnonzero(~np.isfinite(times).any(axis=1))
    if len(lost):
        raise InputError(
            Problem(problem.names[task], "fits nowhere: no width that it may have fits the rules of nodes and memory")
            for task in lost
        )
    return replace(problem, times=times)


def _together(problem: PlanningProblem) -> PlanningProblem:
    """Let tasks that share a block follow each other, and give the block to all that any of them needs."""
    rules, levels = problem.rules, problem.levels
    if rules.same_place is None:
        return problem
    followers = np.flatnonzero(rules.same_place >= 0)
    leaders = rules.same_place[followers]
    levels = Levels(levels.tasks, np.concatenate([levels.edges, np.stack([leaders, followers], axis=1)]))
    deepest_first = followers[np.argsort(-levels.depths[followers], kind="stable")].tolist()
    times = problem.times.copy()
    exclusive = None if rules.exclusive is None else rules.exclusive.copy()
    memory = None if rules.memory is None else rules.memory.copy()
    for task in deepest_first:  # what a chain of tasks needs gathers at its first one, and goes back from there
        leader = rules.same_place[task]
        times[leader, ~np.isfinite(times[task])] = np.inf
        if exclusive is not None:
            exclusive[leader] |= exclusive[task]
        if memory is not None:
            memory[leader] = max(memory[leader], memory[task])
    for task in reversed(deepest_first):
        leader = rules.same_place[task]
        times[task, ~np.isfinite(times[leader])] = np.inf
        if exclusive is not None:
            exclusive[task] = exclusive[leader]
        if memory is not None:
            memory[task] = memory[leader]
    rules = replace(rules, exclusive=exclusive, memory=memory)
    return replace(problem, times=times, levels=levels, rules=rules)


def _mask(chosen: np.ndarray[tuple[int], np.dtype[np.bool_]]) -> int:
    return int.from_bytes(np.packbits(chosen, bitorder="little").tobytes(), "little")
