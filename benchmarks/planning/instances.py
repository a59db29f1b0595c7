"""Families of planning problems, each fixed by a seed.

`published` follows the experiments of Perotin et al. (Near-Optimal Universal Scheduling for Moldable Tasks, 2025,
section Experiments): graphs of daggen, the five speedup models and their random parameters. The other families are our
own.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import daggen
import numpy as np

from hpcmtl.layerplan.problem.planning_problem import ALL_WIDTHS, WIDTH_STEP, PlanningProblem
from hpcmtl.taskgraph.levels import Levels

if TYPE_CHECKING:
    from numpy.random import Generator

    from hpcmtl.arrays import Floats, Ints

MODELS = ("roofline", "communication", "amdahl", "general", "powercom")
SHAPE = {"fat": 0.5, "density": 0.5, "regular": 0.5, "jump_size": 5}
NODE = 16  # ranks per node, in families with nodes


@dataclass(frozen=True)
class Instance:
    """Holds a problem and its labels in a table of results.

    Attributes:
        family: kind of problem.
        name: name within the family.
        problem: the problem.
    """

    family: str
    name: str
    problem: PlanningProblem


def published(model: str, seed: int, tasks: int = 2500, ranks: int = 512, **shape: float) -> PlanningProblem:
    """Returns a daggen graph with random speedups of a model and all widths; `shape` overrides `SHAPE`."""
    graph = daggen.DAG(seed=seed, num_tasks=tasks, **{**SHAPE, **shape})
    nodes, arcs = graph.task_n_edge_tuples()
    index = {node[0]: i for i, node in enumerate(nodes)}
    edges = np.array([(index[a], index[b]) for a, b, _ in arcs], dtype=np.int64).reshape(-1, 2)
    work = np.array([float(node[1]["computation"]) for node in nodes])
    draw = np.random.default_rng([seed, MODELS.index(model)])
    widths = np.arange(1, ranks + 1)
    return from_arrays(speedups(model, work, widths, draw), widths, edges, ranks)


def speedups(model: str, work: Floats, widths: Ints, draw: Generator) -> Floats:
    """Returns seconds (n, K) of tasks with `work` (n,) seconds on one rank; increasing times are kept."""
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
    """Returns a problem without priorities and release times."""
    count = len(times)
    none = np.zeros(count, dtype=np.int64)
    names = tuple(f"{i:0{len(str(count))}d}" for i in range(count))
    return PlanningProblem(
        names, times, widths.astype(np.int64), Levels(count, edges), ranks, none, none + 1, none * 1.0
    )


def published_bound(problem: PlanningProblem) -> float:
    """Returns the bound used by the published ratios, in seconds.

    It is the larger of the area at one rank and a critical path whose tasks are visited in the order of their FIRST
    producer, as in the published code: if edges skip levels, it misses longer paths.
    """
    fastest = problem.times.min(axis=1).tolist()
    starts, items = (array.tolist() for array in problem.levels.consumers)
    above, producers = (array.tolist() for array in problem.levels.producers)
    ends = [0.0] * len(fastest)
    queue = [task for task in range(len(fastest)) if above[task] == above[task + 1]]
    seen = set(queue)
    for task in queue:
        ends[task] = fastest[task] + max((ends[p] for p in producers[above[task] : above[task + 1]]), default=0.0)
        fresh = [other for other in items[starts[task] : starts[task + 1]] if other not in seen]
        queue += fresh
        seen.update(fresh)
    return max(*ends, float(problem.times[:, 0].sum()) / problem.ranks)


def large(tasks: int, ranks: int, seed: int = 1) -> PlanningProblem:
    """Returns a daggen graph with 5 to 6 edges per task and general speedups, at the widths of a large job."""
    whole = published("general", seed, tasks=min(tasks, 10_000), ranks=2, density=0.1)
    edges, copies = whole.levels.edges, -(-tasks // len(whole.names))
    edges = np.concatenate([edges + k * len(whole.names) for k in range(copies)])  # the time of daggen is quadratic
    edges = edges[(edges < tasks).all(axis=1)]
    widths = _ladder(ranks)
    draw = np.random.default_rng([seed, tasks])
    return from_arrays(speedups("general", draw.lognormal(6, 1, tasks), widths, draw), widths, edges, ranks)


def training(samples: Floats, parameters: Floats, ranks: int, epochs: Floats) -> tuple[Floats, Ints]:
    """Returns seconds (n, K) of data-parallel training: a share of the batch, and a slower allreduce between nodes."""
    widths = np.unique(np.append(2 ** np.arange(int(np.log2(ranks)) + 1), ranks))
    steps = (epochs * np.ceil(samples / 256))[:, None]
    share = np.ceil(256 / widths) * (2e-5 + parameters[:, None] * 2e-9)
    wire = 2 * (widths - 1) / widths * parameters[:, None] * 4 * np.where(widths > NODE, 1e-9, 1e-10)
    return steps * (1e-3 + share + wire + 2e-5 * np.log2(widths)), widths


def shapes(seed: int, ranks: int = 128) -> list[Instance]:
    """Returns shapes of real work: tasks around shared encoders, sweeps, chains, and four workflow patterns."""
    draw = np.random.default_rng(seed)
    graphs = {
        "encoder and heads": _encoder(heads=40),
        "three encoders, one fusion": _fused(encoders=3, heads=12),
        "sweep of 60 trials in 3 rounds": _sweep(trials=60, rounds=3),
        "chains with Pareto sizes": _chains(np.minimum(1 + draw.pareto(1.1, 30), 40).astype(np.int64)),
        "fork and join, 6 times 32": _stages([1, 32, 1, 32, 1, 32, 1, 32, 1, 32, 1, 32, 1]),
        "mosaic (pairs, then one, then all)": _stages([40, 80, 1, 1, 40, 1]),
        "many short pipelines": _chains(np.full(64, 4)),
        "independent": (200, np.empty((0, 2), dtype=np.int64)),
    }
    found = []
    for name, (count, edges) in graphs.items():
        samples, parameters = draw.lognormal(10, 1.2, count), draw.lognormal(12, 1.5, count)
        times, widths = training(samples, parameters, ranks, draw.integers(1, 12, count).astype(np.float64))
        found.append(Instance("shapes", name, from_arrays(times, widths, edges, ranks)))
    return found


def job_widths(ranks: int) -> Ints:
    """Returns the widths that a job on some ranks has: all up to 64 ranks, and else a ladder with steps of 8 %."""
    return np.arange(1, ranks + 1) if ranks <= ALL_WIDTHS else _ladder(ranks)


def _ladder(ranks: int) -> Ints:
    steps = 16 * WIDTH_STEP ** np.arange(200)
    widths = np.unique(np.concatenate([np.arange(1, min(16, ranks) + 1), steps[steps < ranks].round(), [ranks]]))
    return widths.astype(np.int64)


def _encoder(heads: int) -> tuple[int, Ints]:
    """Returns one encoder, heads on its features, a joint fine-tuning, and an evaluation for each head."""
    joint = heads + 1
    edges = [(0, 1 + k) for k in range(heads)] + [(1 + k, joint) for k in range(heads)]
    edges += [(joint, joint + 1 + k) for k in range(heads)]
    return 2 * heads + 2, np.array(edges)


def _fused(encoders: int, heads: int) -> tuple[int, Ints]:
    """Returns encoders of several modalities, one fusion, and heads on the fusion and on each encoder."""
    fusion = encoders
    edges = [(k, fusion) for k in range(encoders)]
    count = fusion + 1
    for source in range(encoders + 1):
        edges += [(source, count + k) for k in range(heads)]
        count += heads
    return count, np.array(edges)


def _sweep(trials: int, rounds: int) -> tuple[int, Ints]:
    """Returns successive halving: trials, a choice, half as many trials, a choice, and so on."""
    edges, count, choice = [], 0, -1
    for k in range(rounds):
        members = range(count, count + trials // 2**k)
        edges += [(choice, task) for task in members if choice >= 0]
        choice = count + len(members)
        edges += [(task, choice) for task in members]
        count = choice + 1
    return count, np.array(edges)


def _chains(lengths: Ints) -> tuple[int, Ints]:
    ends = np.cumsum(lengths)
    edges = [
        (task, task + 1) for end, length in zip(ends, lengths, strict=True) for task in range(end - length, end - 1)
    ]
    return int(ends[-1]), np.array(edges, dtype=np.int64).reshape(-1, 2)


def _stages(counts: list[int]) -> tuple[int, Ints]:
    """Returns stages of tasks; each task depends on the whole previous stage."""
    begins = np.cumsum([0, *counts])
    edges = [
        (a, b)
        for k in range(len(counts) - 1)
        for a in range(begins[k], begins[k + 1])
        for b in range(begins[k + 1], begins[k + 2])
    ]
    return int(begins[-1]), np.array(edges)
