"""The task graph: the tasks of a job and the edges between them, by name and as arrays."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from graphlib import TopologicalSorter
from heapq import heapify, heappop, heappush
from typing import TYPE_CHECKING

import numpy as np

from hpcmtl.jobfile.coupling import members_with
from hpcmtl.jobfile.kind_facts import NO_FACTS, KindFacts
from hpcmtl.jobfile.kinds import kind_of
from hpcmtl.taskgraph.layering import layer_count
from hpcmtl.taskgraph.levels import Levels

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from hpcmtl.jobfile.arrays import ArraySpec
    from hpcmtl.jobfile.fields import EdgeKind
    from hpcmtl.jobfile.schema import Job
    from hpcmtl.jobfile.sections import Layers
    from hpcmtl.jobfile.tasks import TaskBase
    from hpcmtl.jobfile.work import Work
    from hpcmtl.taskgraph.levels import Csr

# Policies with an order that is fixed beforehand: tasks joined by an async edge do not run at the same time there.
ONE_AFTER_THE_OTHER = ("waves", "sequential", "one_rank")
ANY_GPU = 1
"""Bytes of GPU memory that every GPU has: the need of a task that asks for a GPU, and for no size of its memory."""


@dataclass(frozen=True, slots=True)
class Edge:
    """A dependency of a consumer on the output of a producer, or on its end alone (kind `order`).

    A `live` edge lets the consumer begin as soon as the producer runs.
    """

    producer: str
    consumer: str
    kind: EdgeKind
    live: bool = False


@dataclass(frozen=True, slots=True)
class RankRules:
    """Constraints on the ranks of a task, beside their smallest and largest number.

    Attributes:
        multiple_of: divisor of their number.
        powers_of_two: true if their number must be a power of two.
        exclusive: true if no other task may run on the same nodes.
        memory: bytes that each rank needs.
        gpu_memory: bytes of GPU memory that each rank needs: `ANY_GPU` for a GPU of any size, 0 for a task without one.
        same_block: name of the needed task whose ranks it runs on; empty for none.
    """

    multiple_of: int = 1
    powers_of_two: bool = False
    exclusive: bool = False
    memory: int = 0
    gpu_memory: int = 0
    same_block: str = ""


@dataclass(frozen=True, slots=True)
class TaskNode:
    """The facts about one task that planning and dispatch use.

    Attributes:
        name: name in the job file.
        kind: task kind.
        priority: priority from the job file; higher goes first among tasks that are ready.
        min_ranks: fewest ranks that may run it.
        max_ranks: most ranks that may run it, at least `min_ranks`.
        input_bytes: bytes that it reads in one pass over its data.
        layers: number of task layers.
        work: size of the task.
        retries: number of tries after a failure.
        rules: constraints on its ranks.
        facts: properties of its kind.
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
    facts: KindFacts = NO_FACTS


@dataclass(frozen=True)
class TaskGraph:
    """Holds tasks in topological order (see `topological_order`) and the edges between them."""

    tasks: tuple[TaskNode, ...]
    edges: tuple[Edge, ...]

    @cached_property
    def index(self) -> Mapping[str, int]:
        """Returns the position of every task in `tasks`, which is its index in all arrays."""
        return {task.name: i for i, task in enumerate(self.tasks)}

    @cached_property
    def levels(self) -> Levels:
        """Returns the order of ends and starts as arrays: CSR in both directions, and sweeps over them.

        A live edge only demands that the consumer begins after the tasks that the producer itself waits for.
        """
        index, before = self.index, self._before
        pairs = [(index[name], index[task.name]) for task in self.tasks for name in before[task.name]]
        return Levels(len(self.tasks), np.array(pairs, dtype=np.int64).reshape(-1, 2))

    @cached_property
    def live(self) -> Mapping[str, frozenset[str]]:
        """Returns consumer -> producers that it may run at the same time as, for tasks with such producers."""
        found: dict[str, set[str]] = {}
        for edge in self.edges:
            if edge.live:
                found.setdefault(edge.consumer, set()).add(edge.producer)
        return {name: frozenset(producers) for name, producers in found.items()}

    @cached_property
    def _needs(self) -> Mapping[str, list[str]]:
        """Returns the producers of each task, in topological order."""
        needs: dict[str, list[str]] = {task.name: [] for task in self.tasks}
        for edge in sorted(self.edges, key=lambda edge: self.index[edge.producer]):
            needs[edge.consumer].append(edge.producer)
        return needs

    @cached_property
    def _before(self) -> Mapping[str, set[str]]:
        """Returns for each task the tasks that must end before it may begin."""
        before: dict[str, set[str]] = {}
        for task in self.tasks:
            live = self.live.get(task.name, frozenset())
            before[task.name] = {name for name in self._needs[task.name] if name not in live}
            before[task.name] |= {name for producer in live for name in before[producer]}
        return before

    @property
    def names(self) -> tuple[str, ...]:
        """Returns the names of the tasks, in order."""
        return tuple(task.name for task in self.tasks)

    def task(self, name: str) -> TaskNode:
        """Returns one task by name."""
        return self.tasks[self.index[name]]

    def producers(self, name: str) -> tuple[str, ...]:
        """Returns the tasks that a task depends on directly, in topological order."""
        return tuple(self._needs[name])

    def consumers(self, name: str) -> tuple[str, ...]:
        """Returns the tasks that depend on a task directly, in topological order."""
        return self._names(self.levels.consumers, name)

    def _names(self, csr: Csr, name: str) -> tuple[str, ...]:
        i = self.index[name]
        return tuple(self.tasks[j].name for j in csr.items[csr.starts[i] : csr.starts[i + 1]])


def build_graph(job: Job, arrays: Mapping[str, ArraySpec]) -> TaskGraph:
    """Makes the task graph of a checked job.

    Args:
        job: a job without cycles, its defaults filled in (`jobfile.load.parse_job`).
        arrays: ``source/array`` -> its description; missing ones are guessed (`training.kinds.input_size`).
    """
    order = topological_order({name: task.needs for name, task in job.tasks.items()})
    beside = job.policy not in ONE_AFTER_THE_OTHER
    edges = (
        Edge(producer, name, need.kind, live=beside and need.live)
        for name in order
        for producer, need in job.tasks[name].needs.items()
    )
    return TaskGraph(tuple(_node(job, name, arrays) for name in order), tuple(edges))


def topological_order(needs: Mapping[str, Iterable[str]]) -> tuple[str, ...]:
    """Puts producers before consumers; among tasks that could come next, the first by name comes next.

    The order thus depends on names and edges alone, and not on the order of the input.

    Raises:
        graphlib.CycleError: the graph has a cycle.
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


def layers_of(job: Job) -> Layers:
    """Returns the rule for the number of task layers; the planning policy `fixed` makes it a fixed number."""
    return job.layers.model_copy(update={"policy": "fixed"}) if job.policy == "fixed" else job.layers


def _node(job: Job, name: str, arrays: Mapping[str, ArraySpec]) -> TaskNode:
    task, kind = job.tasks[name], kind_of(job, name)
    work = kind.work(job, name, arrays)
    fewest = next(width for width in range(task.ranks.min, job.ranks + 1) if task.ranks.allow(width))
    most = min(kind.useful_ranks(job, name, work), task.ranks.max or job.ranks, job.ranks)
    return TaskNode(
        name=name,
        kind=task.kind,
        priority=max((job.tasks[member].priority for member in members_with(job, name)), default=task.priority),
        min_ranks=fewest,
        max_ranks=max(most, fewest),
        input_bytes=work.input_bytes,
        layers=layer_count(layers_of(job), work.input_bytes, work.steps, task.layers),
        work=work,
        retries=task.retries,
        rules=_rules(task, needs_gpu=kind.device(job, name) == "gpu"),
        facts=kind.facts,
    )


def _rules(task: TaskBase, *, needs_gpu: bool) -> RankRules:
    ranks = task.ranks
    return RankRules(
        multiple_of=ranks.multiple_of,
        powers_of_two=ranks.powers_of_two,
        exclusive=ranks.exclusive,
        memory=ranks.memory or 0,
        gpu_memory=ranks.gpu_memory or (ANY_GPU if needs_gpu else 0),
        same_block=task.with_ or "",
    )
