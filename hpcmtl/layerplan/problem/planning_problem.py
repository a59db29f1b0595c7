"""The planning problem as arrays: a time for every task at every allowed number of ranks."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from hpcmtl.errors import InputError, Problem
from hpcmtl.layerplan.model.speedup import Speedups
from hpcmtl.layerplan.problem.placement import Placement
from hpcmtl.taskgraph.levels import Levels

if TYPE_CHECKING:
    from hpcmtl.arrays import Bools, Floats, Ints
    from hpcmtl.layerplan.model.machine import Machine
    from hpcmtl.taskgraph.graph import TaskGraph


# Up to so many ranks every width is considered; above, 1 to 16 and then steps of 8 %, which lose little and keep the
# table small.
ALL_WIDTHS = 64
WIDTH_STEP = 1.08
# Of a table with more columns than this, the search for widths looks at those with three significant bits.
SEARCHED_WIDTHS = 64


@dataclass(frozen=True)
class Choices:
    """The widths that the search for a plan looks at: for each task those that are faster than every smaller one.

    Attributes:
        columns: (n, C) columns of the problem's table, never falling; -1 where a task has no such narrow choice.
        widths: (n, C) numbers of ranks; 0 where there is no choice.
        times: (n, C) seconds; inf where there is no choice.
    """

    columns: Ints
    widths: Ints
    times: Floats


@dataclass(frozen=True, eq=False)
class Rules:
    """Where tasks may run, beside their widths; by default anywhere.

    Attributes:
        node: ranks of a node, 0 for none: a block wider than a node begins at one, a narrower one lies inside one.
        exclusive: (n,) whether a task has the nodes that it runs on for itself; its block begins at a node.
        memory: (n,) bytes that each rank of a task needs.
        rank_memory: (P,) bytes that a rank has.
        rank_speed: (P,) speed against that of the table of times; a block is as fast as its slowest rank.
        same_place: (n,) the task whose block a task has to share, later; -1 for none.
        pinned: (n,) the rank that the block of a task has to begin at; -1 for any.
        lost: (P,) whether a rank is gone.
    """

    node: int = 0
    exclusive: Bools | None = None
    memory: Floats | None = None
    rank_memory: Floats | None = None
    rank_speed: Floats | None = None
    same_place: Ints | None = None
    pinned: Ints | None = None
    lost: Bools | None = None

    @property
    def any(self) -> bool:
        """Whether there is a rule at all; what ranks have is none until a task needs it."""
        of_tasks = (self.exclusive, self.memory, self.same_place, self.pinned)
        return self.node > 0 or any(array is not None for array in (*of_tasks, self.rank_speed, self.lost))

    def part(self, tasks: Ints) -> Rules:
        """The rules for some of the tasks; of whose blocks they share, those that are among them."""
        exclusive = None if self.exclusive is None else self.exclusive[tasks]
        memory = None if self.memory is None else self.memory[tasks]
        pinned = None if self.pinned is None else self.pinned[tasks]
        place = None
        if self.same_place is not None:
            index = np.full(len(self.same_place) + 1, -1)  # the last one stands for no task
            index[tasks] = np.arange(len(tasks))
            place = index[self.same_place[tasks]]
        return replace(self, exclusive=exclusive, memory=memory, same_place=place, pinned=pinned)


@dataclass(frozen=True)
class PlanningProblem:
    """Moldable tasks with precedence on ranks.

    Attributes:
        names: of the n tasks.
        times: (n, K) seconds of a task at each width; inf where the task may not have that width.
        widths: (K,) numbers of ranks, rising.
        levels: the precedence edges.
        ranks: number of ranks, P.
        priority: (n,) priority of the job file, higher first.
        layers: (n,) number of layers.
        release: (n,) seconds before which a task may not start.
        rules: where tasks may run.
    """

    names: tuple[str, ...]
    times: Floats
    widths: Ints
    levels: Levels
    ranks: int
    priority: Ints
    layers: Ints
    release: Floats
    rules: Rules = Rules()

    @property
    def capacity(self) -> float:
        """What all ranks do in a second, in rank-seconds of the table of times."""
        speed = np.ones(self.ranks) if self.rules.rank_speed is None else self.rules.rank_speed
        return float(speed.sum() if self.rules.lost is None else speed[~self.rules.lost].sum())

    @property
    def top_speed(self) -> float:
        """Speed of the fastest rank."""
        return float(1.0 if self.rules.rank_speed is None else self.rules.rank_speed.max())

    @property
    def living(self) -> int:
        """Number of ranks that are not lost."""
        return self.ranks if self.rules.lost is None else int((~self.rules.lost).sum())

    @cached_property
    def placement(self) -> Placement:
        """The rules as masks of ranks, task by task."""
        return Placement(self)

    @cached_property
    def allowed(self) -> Bools:
        """(n, K) whether a task may have a width."""
        return np.isfinite(self.times)

    @cached_property
    def useful(self) -> Bools:
        """(n, K) allowed widths that are faster than every smaller one; others only waste ranks."""
        best = np.minimum.accumulate(self.times, axis=1)
        before = np.concatenate([np.full((len(self.times), 1), np.inf), best[:, :-1]], axis=1)
        useful: Bools = self.times < before
        return useful

    @cached_property
    def choices(self) -> Choices:
        """The widths to choose from; every task has one at least."""
        if len(self.widths) <= SEARCHED_WIDTHS:
            ladder = np.arange(len(self.widths))
        else:
            grain = 2 ** np.maximum(np.floor(np.log2(self.widths)).astype(np.int64) - 2, 0)
            ladder = np.union1d(np.flatnonzero(self.widths % grain == 0), [len(self.widths) - 1])
        # The widest useful width up to each step, so that a step stands for all widths since the one before.
        columns = self.widest_useful[:, ladder]
        missing = columns < 0
        times = np.take_along_axis(self.times, columns, axis=1)
        return Choices(columns, np.where(missing, 0, self.widths[columns]), np.where(missing, np.inf, times))

    @cached_property
    def choice_lists(self) -> tuple[list[list[int]], list[list[int]], list[list[float]]]:
        """The columns, widths and times of the choices, for loops over single tasks."""
        choices = self.choices
        return choices.columns.tolist(), choices.widths.tolist(), choices.times.tolist()

    @cached_property
    def name_order(self) -> Ints:
        """(n,) place of each task among the names in order."""
        order: Ints = np.argsort(np.argsort(np.array(self.names, dtype=np.str_), kind="stable"))
        return order

    @cached_property
    def widest_useful(self) -> Ints:
        """(n, K) the widest useful column up to each; -1 where there is none."""
        widest: Ints = np.maximum.accumulate(np.where(self.useful, np.arange(len(self.widths)), -1), axis=1)
        return widest

    @cached_property
    def areas(self) -> Floats:
        """(n, K) rank-seconds; inf where the task may not have that width."""
        areas: Floats = self.times * self.widths
        return areas

    def at(self, columns: Ints) -> tuple[Floats, Ints]:
        """Seconds and ranks (n,) of every task at its column of the table."""
        return self.times[np.arange(len(columns)), columns], self.widths[columns]

    def part(self, tasks: Ints, since: float, release: Floats | None = None) -> PlanningProblem:
        """Some of the tasks, with the precedence between them, from `since` (seconds) on.

        Args:
            tasks: (m,) indices, rising.
            since: seconds that become 0.
            release: (m,) instead of their own.
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
    """Predict the times of all tasks and turn the graph into arrays.

    Args:
        graph: the tasks.
        ranks: number of ranks.
        speedups: predicts times; from sizes alone by default, with a core for each rank.

    Raises:
        InputError: if there are no ranks, or tasks need more than there are.
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


def _rules(graph: TaskGraph, ranks: int, machine: Machine) -> Rules:
    """Where tasks may run by what the job file says of them; what nobody asks for is left out, as it costs time."""
    asked = [task.rules for task in graph.tasks]
    leaders = [graph.index[rule.same_place] if rule.same_place else -1 for rule in asked]
    return Rules(
        machine.node if machine.node < ranks else 0,
        np.array([rule.exclusive for rule in asked]) if any(rule.exclusive for rule in asked) else None,
        np.array([float(rule.memory) for rule in asked]) if any(rule.memory for rule in asked) else None,
        np.array(machine.rank_memory, dtype=np.float64) if machine.rank_memory else None,
        machine.speeds,
        same_place=np.array(leaders) if any(leader >= 0 for leader in leaders) else None,
    )


def _allowed(graph: TaskGraph, widths: Ints) -> Bools:
    """(n, K) whether a task may have so many ranks by what it says of their number."""
    multiple = np.array([task.rules.multiple_of for task in graph.tasks], dtype=np.int64)[:, None]
    power = np.array([task.rules.powers_of_two for task in graph.tasks], dtype=np.bool_)[:, None]
    allowed: Bools = (widths % multiple == 0) & (~power | (widths & (widths - 1) == 0))
    return allowed


def _multiples(graph: TaskGraph, widths: Ints) -> Ints:
    """Widths, and what they are rounded down to for tasks that are particular about the number of their ranks."""
    particular = {task.rules.multiple_of for task in graph.tasks}
    rounded = [widths // multiple * multiple for multiple in sorted(particular)]
    if any(task.rules.powers_of_two for task in graph.tasks):
        rounded.append(2 ** np.floor(np.log2(widths)).astype(np.int64))
    every: Ints = np.unique(np.concatenate([widths, *rounded]))
    return every[every > 0]


def _ladder(ranks: int, limits: list[int]) -> Ints:
    """Widths to consider, with every limit of a task among them."""
    if ranks <= ALL_WIDTHS:
        return np.arange(1, ranks + 1, dtype=np.int64)
    steps = int(np.log(ranks / 16) / np.log(WIDTH_STEP)) + 1
    grown = np.round(16 * WIDTH_STEP ** np.arange(steps)).astype(np.int64)
    widths: Ints = np.unique(np.concatenate([np.arange(1, 17), grown[grown < ranks], limits, [ranks]]).astype(np.int64))
    return widths
