"""Families of planning problems, each fixed by a seed.

`published` follows the experiments of Perotin et al. (Near-Optimal Universal Scheduling for Moldable Tasks, 2025,
section Experiments): graphs of daggen, the five speedup models and their draws. The other families are our own.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import daggen
import numpy as np

from hpcmtl.layerplan.problem import PlanningProblem
from hpcmtl.taskgraph.levels import Floats, Ints, Levels

if TYPE_CHECKING:
    from numpy.random import Generator

MODELS = ("roofline", "communication", "amdahl", "general", "powercom")
NODE = 16  # ranks of a node, where a family has nodes


@dataclass(frozen=True)
class Instance:
    """A problem, and what a table of results says of it.

    Attributes:
        family: which kind of problem.
        name: which one of them.
        problem: the problem.
    """

    family: str
    name: str
    problem: PlanningProblem


def published(
    model: str,
    seed: int,
    *,
    tasks: int = 2500,
    ranks: int = 512,
    fat: float = 0.5,
    density: float = 0.5,
    regular: float = 0.5,
    jump: int = 5,
) -> PlanningProblem:
    """A graph of daggen and draws of a speedup model, at the published defaults; all widths are allowed."""
    graph = daggen.DAG(seed=seed, num_tasks=tasks, fat=fat, density=density, regular=regular, jump_size=jump)
    nodes, arcs = graph.task_n_edge_tuples()
    index = {node[0]: i for i, node in enumerate(nodes)}
    edges = np.array([(index[a], index[b]) for a, b, _ in arcs], dtype=np.int64).reshape(-1, 2)
    work = np.array([float(node[1]["computation"]) for node in nodes])
    draw = np.random.default_rng([seed, MODELS.index(model)])
    widths = np.arange(1, ranks + 1)
    return from_arrays(speedups(model, work, widths, draw), widths, edges, ranks)


def speedups(model: str, work: Floats, widths: Ints, draw: Generator) -> Floats:
    """Seconds (n, K) of tasks with `work` (n,) seconds on one rank; times that rise are kept."""
    size = (len(work), 1)
    parallel = draw.integers(1, 513, size)
    serial = 10 ** draw.uniform(-3, -0.5, size)
    talk = 10 ** draw.uniform(-6, -2, size)
    power = draw.uniform(0, 1, size)
    shared = 1 / np.minimum(widths, parallel)
    relative: Floats = {
        "roofline": shared,
        "communication": 1 / widths + talk * (widths - 1),
        "amdahl": (1 - serial) / widths + serial,
        "general": (1 - serial) * shared + serial + talk * (widths - 1),
        "powercom": 1 / widths + talk * widths**power,
    }[model]
    return work[:, None] * relative


def from_arrays(times: Floats, widths: Ints, edges: Ints, ranks: int) -> PlanningProblem:
    """A problem without priorities or release times."""
    count = len(times)
    none = np.zeros(count, dtype=np.int64)
    names = tuple(f"{i:0{len(str(count))}d}" for i in range(count))
    return PlanningProblem(
        names, times, widths.astype(np.int64), Levels(count, edges), ranks, none, none + 1, none * 1.0
    )
