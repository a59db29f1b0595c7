"""The planning problem of the layers that are left of a job. Pure."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from hpcmtl.layerplan.solve.packing import FixedPart, Schedule
from hpcmtl.taskgraph.levels import Levels

if TYPE_CHECKING:
    from collections.abc import Iterable

    from hpcmtl.arrays import Ints
    from hpcmtl.layerplan.problem.planning_problem import PlanningProblem

    Busy = tuple[tuple[range, float], ...]


def with_edges(problem: PlanningProblem, pairs: Iterable[tuple[str, str]]) -> Levels:
    """Returns the precedence of a problem with further edges (producer, consumer) between its tasks."""
    index = {name: i for i, name in enumerate(problem.names)}
    more = [(index[one], index[other]) for one, other in pairs if one in index and other in index]
    return Levels(len(index), np.concatenate([problem.levels.edges.reshape(-1, 2), np.array(more, dtype=np.int64)]))


def around(busy: Busy, tasks: int) -> FixedPart:
    """Returns the fixed part of a schedule of `tasks` tasks that have not begun, beside busy blocks of ranks."""
    none, zeros = np.zeros(tasks), np.zeros(tasks, dtype=np.int64)
    return FixedPart(0.0, none.astype(np.bool_), Schedule(zeros, none, none, zeros), busy)


def next_layers(rest: PlanningProblem, counts: Ints) -> tuple[PlanningProblem, Ints]:
    """Splits each task into its next layer and the rest, which are packed one after the other.

    A group may change between the two, so a task need not wait with its next layer for the ranks of the later ones.

    Args:
        rest: the tasks, with the times of whole tasks.
        counts: (n,) number of layers that are left of each task.

    Returns:
        The n next layers, followed by the rests of m tasks as one item each; and the (m,) indices of these tasks.
    """
    tasks = np.arange(len(counts))
    after = np.flatnonzero(counts > 1)
    last = tasks.copy()
    last[after] = len(counts) + np.arange(len(after))
    edges = rest.levels.edges.reshape(-1, 2)
    edges = np.stack([last[edges[:, 0]], edges[:, 1]], axis=1)
    edges = np.concatenate([edges, np.stack([after, last[after]], axis=1)])
    both = np.concatenate([tasks, after])
    parts = np.concatenate([1 / rest.layers, ((counts - 1) / rest.layers)[after]])
    layers = replace(
        rest,
        names=tuple(rest.names[i] for i in both.tolist()),
        times=rest.times[both] * parts[:, None],
        levels=Levels(len(both), edges),
        priority=rest.priority[both],
        layers=rest.layers[both],
        release=np.concatenate([rest.release, np.zeros(len(after))]),
        rules=rest.rules.part(both),
    )
    return layers, after
