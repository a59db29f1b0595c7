"""The task graph: what a job's tasks are to each other, in names and in arrays."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from graphlib import TopologicalSorter
from heapq import heapify, heappop, heappush
from typing import TYPE_CHECKING

import numpy as np

from hpcmtl.jobfile.schema import Python, Trained
from hpcmtl.taskgraph.layering import layer_count
from hpcmtl.taskgraph.levels import Levels
from hpcmtl.taskgraph.work import Work, work_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from hpcmtl.jobfile.schema import EdgeKind, Job, Task
    from hpcmtl.jobfile.shapes import Array
    from hpcmtl.taskgraph.levels import Csr


@dataclass(frozen=True, slots=True)
class Edge:
    """A dependency: `consumer` needs what `producer` makes, or only its end (kind `order`)."""

    producer: str
    consumer: str
    kind: EdgeKind


@dataclass(frozen=True, slots=True)
class RankRules:
    """Which ranks a task may have, beside how few and how many.

    Attributes:
        multiple_of: of which their number is a multiple.
        powers_of_two: whether it is a power of two.
        exclusive: whether no other task may run on its nodes.
        memory: bytes that each needs.
        same_place: the task, needed by it, whose ranks it runs on; empty for none.
    """

    multiple_of: int = 1
    powers_of_two: bool = False
    exclusive: bool = False
    memory: int = 0
    same_place: str = ""


@dataclass(frozen=True, slots=True)
class TaskNode:
    """What planning and dispatch know of one task.

    Attributes:
        name: as in the job file.
        kind: task kind.
        priority: of the job file; higher goes first among tasks that are ready.
        min_ranks: fewest ranks that may run it.
        max_ranks: most ranks that may run it, at least `min_ranks`.
        input_bytes: bytes that it reads in one pass over its data.
        layers: number of contiguous pieces it is cut into.
        work: its size.
        retries: how often it is tried again if it fails.
        rules: which ranks it may have.
    """

    name: str
    kind: str
    priority: int
    min_ranks: int
    max_ranks: int
    input_bytes: int
    layers: int
    work: Work
    retries: int = 0
    rules: RankRules = RankRules()


@dataclass(frozen=True)
class TaskGraph:
    """Tasks in topological order (see `topological_order`) and the edges between them."""

    tasks: tuple[TaskNode, ...]
    edges: tuple[Edge, ...]

    @cached_property
    def index(self) -> Mapping[str, int]:
        """Position of every task in `tasks`, which is its index in all arrays."""
        return {task.name: i for i, task in enumerate(self.tasks)}

    @cached_property
    def levels(self) -> Levels:
        """The edges as arrays: CSR both ways, and sweeps over them."""
        pairs = [(self.index[edge.producer], self.index[edge.consumer]) for edge in self.edges]
        return Levels(len(self.tasks), np.array(pairs, dtype=np.int64).reshape(-1, 2))

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the tasks, in order."""
        return tuple(task.name for task in self.tasks)

    def task(self, name: str) -> TaskNode:
        """One task by name."""
        return self.tasks[self.index[name]]

    def producers(self, name: str) -> tuple[str, ...]:
        """Tasks that one depends on directly, in topological order."""
        return self._names(self.levels.producers, name)

    def consumers(self, name: str) -> tuple[str, ...]:
        """Tasks that depend on one directly, in topological order."""
        return self._names(self.levels.consumers, name)

    def _names(self, csr: Csr, name: str) -> tuple[str, ...]:
        i = self.index[name]
        return tuple(self.tasks[j].name for j in csr.items[csr.starts[i] : csr.starts[i + 1]])


def build_graph(job: Job, arrays: Mapping[str, Array]) -> TaskGraph:
    """Make the task graph of a checked job.

    Args:
        job: with its defaults filled in (`jobfile.load.parse_job`); it has no cycle.
        arrays: ``source/array`` -> its description; what is missing there is guessed (see `work_of`).
    """
    order = topological_order({name: task.needs for name, task in job.tasks.items()})
    edges = (Edge(producer, name, need.kind) for name in order for producer, need in job.tasks[name].needs.items())
    return TaskGraph(tuple(_node(job, name, arrays) for name in order), tuple(edges))


def topological_order(needs: Mapping[str, Iterable[str]]) -> tuple[str, ...]:
    """Put producers before consumers; among tasks that could come next the first by name does.

    The order thus depends on names and edges alone and not on the order of the input.

    Raises:
        graphlib.CycleError: if there is a cycle.
    """
    sorter = TopologicalSorter(needs)
    sorter.prepare()
    ready = list(sorter.get_ready())
    heapify(ready)
    order = []
    while ready:
        order.append(heappop(ready))
        sorter.done(order[-1])
        for name in sorter.get_ready():
            heappush(ready, name)
    return tuple(order)


def bottom_levels(graph: TaskGraph, seconds: Mapping[str, float]) -> dict[str, float]:
    """Seconds from the start of each task to the end of everything that depends on it, ranks being plenty."""
    levels = graph.levels.bottom(np.array([seconds[task.name] for task in graph.tasks], dtype=np.float64))
    return {task.name: float(level) for task, level in zip(graph.tasks, levels, strict=True)}


def _node(job: Job, name: str, arrays: Mapping[str, Array]) -> TaskNode:
    task = job.tasks[name]
    work = work_of(job, name, arrays)
    rule = job.layers.model_copy(update={"policy": "fixed"}) if job.policy == "fixed" else job.layers
    python = isinstance(task, Python)  # a callable is one call: there is nowhere to cut it
    layers = 1 if python else layer_count(rule, work.input_bytes, work.steps, task.layers)
    fewest = next(width for width in range(task.ranks.min, job.ranks + 1) if task.ranks.allow(width))
    most = max(_max_ranks(job, name, work), fewest)
    size = (fewest, most, work.input_bytes, layers, work)
    return TaskNode(name, task.kind, task.priority, *size, task.retries, _rules(task))


def _rules(task: Task) -> RankRules:
    ranks = task.ranks
    return RankRules(ranks.multiple_of, ranks.powers_of_two, ranks.exclusive, ranks.memory or 0, task.with_ or "")


def _max_ranks(job: Job, name: str, work: Work) -> int:
    """Most ranks that can do something for a task: each needs a sample (in every step), and `local` is for one rank."""
    task = job.tasks[name]
    if isinstance(task, Python):
        useful = task.ranks.max or task.ranks.min  # how a callable scales, only its author knows
    elif isinstance(task, Trained):
        useful = 1 if task.engine == "local" else work.batch_size
    else:
        useful = work.samples
    return min(useful, task.ranks.max or job.ranks, job.ranks)
