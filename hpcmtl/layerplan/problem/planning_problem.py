"""The planning problem in array form: the time of every task at every allowed number of ranks."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from hpcmtl.errors import InputError, Problem
from hpcmtl.layerplan.model.speedup import Speedups
from hpcmtl.layerplan.problem.placement import Placement
from hpcmtl.layerplan.problem.rules import PlacementRules
from hpcmtl.taskgraph.levels import Levels

if TYPE_CHECKING:
    from hpcmtl.arrays import Bools, Floats, Ints
    from hpcmtl.layerplan.model.machine import Machine
    from hpcmtl.taskgraph.graph import TaskGraph

# Up to this many ranks every width is considered. Above it: 1 to 16, then steps of 8 %. The steps lose little and keep
# the table small.
ALL_WIDTHS = 64
WIDTH_STEP = 1.08
# In a table with more columns than this, the search considers only widths with three significant bits.
SEARCHED_WIDTHS = 64


@dataclass(frozen=True)
class Choices:
    """Holds the widths that the search considers: for each task those that are faster than every smaller one.

    Attributes:
        columns: (n, C) columns of the problem's table, non-decreasing; -1 where a task has no such width.
        widths: (n, C) numbers of ranks; 0 where there is no choice.
        times: (n, C) seconds; inf where there is no choice.
    """

    columns: Ints
    widths: Ints
    times: Floats


@dataclass(frozen=True)
class PlanningProblem:
    """Holds n moldable tasks with precedence edges, to be scheduled on P ranks.

    Attributes:
        names: names of the tasks.
        times: (n, K) seconds of a task at each width; inf where the width is not allowed.
        widths: (K,) numbers of ranks, ascending.
        levels: precedence edges.
        ranks: number of ranks, P.
        priority: (n,) priority from the job file; higher goes first.
        layers: (n,) number of task layers.
        release: (n,) earliest start of each task, in seconds.
        rules: constraints on placement.
    """

    names: tuple[str, ...]
    times: Floats
    widths: Ints
    levels: Levels
    ranks: int
    priority: Ints
    layers: Ints
    release: Floats
    rules: PlacementRules = field(default_factory=PlacementRules)

    @property
    def capacity(self) -> float:
        """Work of all ranks per second, in rank-seconds of the table of times."""
        speed = np.ones(self.ranks) if self.rules.rank_speed is None else self.rules.rank_speed
        return float(speed.sum())

    @property
    def top_speed(self) -> float:
        """Speed of the fastest rank."""
        return float(1.0 if self.rules.rank_speed is None else self.rules.rank_speed.max())

    @cached_property
    def placement(self) -> Placement:
        """The constraints on placement as bit masks of ranks."""
        return Placement(self.rules, len(self.names), self.ranks)

    @cached_property
    def allowed(self) -> Bools:
        """(n, K) True where a task may have a width."""
        return np.isfinite(self.times)

    @cached_property
    def useful(self) -> Bools:
        """(n, K) True for an allowed width that is faster than every smaller one; others only waste ranks."""
        best = np.minimum.accumulate(self.times, axis=1)
        before = np.concatenate([np.full((len(self.times), 1), np.inf), best[:, :-1]], axis=1)
        useful: Bools = self.times < before
        return useful

    @cached_property
    def choices(self) -> Choices:
        """The widths that the search considers; every task has at least one."""
        if len(self.widths) <= SEARCHED_WIDTHS:
            ladder = np.arange(len(self.widths))
        else:
            grain = 2 ** np.maximum(np.floor(np.log2(self.widths)).astype(np.int64) - 2, 0)
            ladder = np.union1d(np.flatnonzero(self.widths % grain == 0), [len(self.widths) - 1])
        # The widest useful width up to each step: a step represents all widths since the previous step.
        columns = self.widest_useful[:, ladder]
        missing = columns < 0
        times = np.take_along_axis(self.times, columns, axis=1)
        return Choices(columns, np.where(missing, 0, self.widths[columns]), np.where(missing, np.inf, times))

    @cached_property
    def choice_lists(self) -> tuple[list[list[int]], list[list[int]], list[list[float]]]:
        """Columns, widths and times of the choices as lists, for loops over single tasks."""
        choices = self.choices
        return choices.columns.tolist(), choices.widths.tolist(), choices.times.tolist()

    @cached_property
    def name_order(self) -> Ints:
        """(n,) rank of each task in the alphabetical order of names."""
        order: Ints = np.argsort(np.argsort(np.array(self.names, dtype=np.str_), kind="stable"))
        return order

    @cached_property
    def widest_useful(self) -> Ints:
        """(n, K) widest useful column up to each column; -1 where there is none."""
        widest: Ints = np.maximum.accumulate(np.where(self.useful, np.arange(len(self.widths)), -1), axis=1)
        return widest

    @cached_property
    def areas(self) -> Floats:
        """(n, K) rank-seconds; inf where the width is not allowed."""
        areas: Floats = self.times * self.widths
        return areas

    def at(self, columns: Ints) -> tuple[Floats, Ints]:
        """Returns seconds (n,) and ranks (n,) of every task at its column of the table."""
        return self.times[np.arange(len(columns)), columns], self.widths[columns]

    def part(self, tasks: Ints, since: float, release: Floats | None = None) -> PlanningProblem:
        """Returns the problem of some tasks and the edges between them, with the origin of time moved.

        Args:
            tasks: (m,) indices, ascending.
            since: new origin of time, in seconds.
            release: (m,) earliest starts in seconds; None keeps the tasks' own.
        """
        place = np.full(len(self.names), -1)
        place[tasks] = np.arange(len(tasks))
        edges = place[self.levels.edges.reshape(-1, 2)]
        return PlanningProblem(
            tuple(self.names[i] for i in tasks),
            self.times[tasks],
            self.widths,
            Levels(len(tasks), edges[(edges >= 0).all(axis=1)]),
            self.ranks,
            self.priority[tasks],
            self.layers[tasks],
            np.maximum((self.release[tasks] if release is None else release) - since, 0.0),
            self.rules.part(tasks),
        )


def make_problem(graph: TaskGraph, ranks: int, speedups: Speedups | None = None) -> PlanningProblem:
    """Predicts the times of all tasks and converts a task graph to arrays.

    Args:
        graph: the tasks.
        ranks: number of ranks.
        speedups: predictor of times; the default uses sizes alone and assumes one core per rank.

    Raises:
        InputError: if there are no ranks, or a task needs more ranks than there are.
    """
    if ranks < 1:
        raise InputError([Problem("ranks", f"a plan needs at least 1 rank; found {ranks}")])
    wide = [task for task in graph.tasks if task.min_ranks > ranks]
    if wide:
        raise InputError(
            Problem(f"tasks.{t.name}.ranks", f"the task needs {t.min_ranks} ranks but there are {ranks}") for t in wide
        )
    limits = [limit for task in graph.tasks for limit in (task.min_ranks, min(task.max_ranks, ranks))]
    widths = _multiples(graph, _ladder(ranks, limits))
    speedups = speedups or Speedups()
    times = np.array([speedups.seconds(task, widths) for task in graph.tasks]).reshape(-1, len(widths))
    low = np.array([task.min_ranks for task in graph.tasks])[:, None]
    high = np.array([task.max_ranks for task in graph.tasks])[:, None]
    times[(widths < low) | (widths > high) | ~_allowed(graph, widths)] = np.inf
    priority = np.array([task.priority for task in graph.tasks], dtype=np.int64)
    layers = np.array([task.layers for task in graph.tasks], dtype=np.int64)
    release, rules = np.zeros(len(priority)), _rules(graph, ranks, speedups.machine)
    return PlanningProblem(graph.names, times, widths, graph.levels, ranks, priority, layers, release, rules)


def _rules(graph: TaskGraph, ranks: int, machine: Machine) -> PlacementRules:
    """Returns the constraints that the job file asks for; unused ones are None, because they cost planning time."""
    requested = [task.rules for task in graph.tasks]
    exclusive = [rule.exclusive for rule in requested]
    memory = [float(rule.memory) for rule in requested]
    gpu_memory = [float(rule.gpu_memory) for rule in requested]
    leaders = [graph.index[rule.same_block] if rule.same_block else -1 for rule in requested]
    return PlacementRules(
        node=machine.node if machine.node < ranks else 0,
        exclusive=np.array(exclusive) if any(exclusive) else None,
        memory=np.array(memory) if any(memory) else None,
        rank_memory=np.array(machine.rank_memory, dtype=np.float64) if machine.rank_memory else None,
        gpu_memory=np.array(gpu_memory) if any(gpu_memory) else None,
        rank_gpu_memory=np.array(machine.rank_gpu_memory, dtype=np.float64) if machine.rank_gpu_memory else None,
        rank_speed=machine.speeds,
        same_block=np.array(leaders) if any(leader >= 0 for leader in leaders) else None,
    )


def _allowed(graph: TaskGraph, widths: Ints) -> Bools:
    """Returns (n, K), True where `multiple_of` and `powers_of_two` of a task admit a width."""
    multiple = np.array([task.rules.multiple_of for task in graph.tasks], dtype=np.int64)[:, None]
    power = np.array([task.rules.powers_of_two for task in graph.tasks], dtype=np.bool_)[:, None]
    allowed: Bools = (widths % multiple == 0) & (~power | (widths & (widths - 1) == 0))
    return allowed


def _multiples(graph: TaskGraph, widths: Ints) -> Ints:
    """Returns the widths and, for tasks with `multiple_of` or `powers_of_two`, the widths rounded down to it."""
    multiples = {task.rules.multiple_of for task in graph.tasks}
    rounded = [widths // multiple * multiple for multiple in sorted(multiples)]
    if any(task.rules.powers_of_two for task in graph.tasks):
        rounded.append(2 ** np.floor(np.log2(widths)).astype(np.int64))
    every: Ints = np.unique(np.concatenate([widths, *rounded]))
    return every[every > 0]


def _ladder(ranks: int, limits: list[int]) -> Ints:
    """Returns the widths to consider, including the minimum and maximum width of every task."""
    if ranks <= ALL_WIDTHS:
        return np.arange(1, ranks + 1, dtype=np.int64)
    steps = int(np.log(ranks / 16) / np.log(WIDTH_STEP)) + 1
    grown = np.round(16 * WIDTH_STEP ** np.arange(steps)).astype(np.int64)
    widths: Ints = np.unique(np.concatenate([np.arange(1, 17), grown[grown < ranks], limits, [ranks]]).astype(np.int64))
    return widths
