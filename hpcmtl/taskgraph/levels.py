"""Sweeps over a task graph in array form, one level at a time.

The height of a task is the number of edges on the longest path from it to a sink. Tasks of one height do not depend on
each other, so that a sweep needs a few numpy calls for each height instead of a Python loop over edges.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np

from hpcmtl.arrays import Bools, Floats, Ints

Visit = Callable[[Ints, Floats], Floats]


class Csr(NamedTuple):
    """Neighbours of every task in one array; those of task i are `items[starts[i]:starts[i + 1]]`, in rising order."""

    starts: Ints
    items: Ints


class _Band(NamedTuple):
    """The edges that leave the tasks of one height, sorted by producer."""

    producers: Ints  # each once
    starts: Ints  # index of each producer's first edge in the three arrays below
    place: Ints  # index in `producers` of each edge's producer
    repeated: Ints  # producer of each edge
    consumers: Ints  # consumer of each edge


@dataclass(frozen=True)
class Levels:
    """A graph without cycles.

    Attributes:
        tasks: number of tasks, n.
        edges: (m, 2) producer and consumer index; an edge may occur twice.

    Raises:
        ValueError: at the first use of a sweep, if the graph has a cycle.
    """

    tasks: int
    edges: Ints

    @cached_property
    def consumers(self) -> Csr:
        """Returns the consumers of each task."""
        return _csr(self.tasks, self._unique[:, 0], self._unique[:, 1])

    @cached_property
    def consumer_lists(self) -> tuple[list[int], list[int]]:
        """Returns the two arrays of `consumers` as lists, for loops over single tasks."""
        return self.consumers.starts.tolist(), self.consumers.items.tolist()

    @cached_property
    def producers(self) -> Csr:
        """Returns the producers of each task."""
        return _csr(self.tasks, self._unique[:, 1], self._unique[:, 0])

    @cached_property
    def depths(self) -> Ints:
        """Returns (n,) the number of edges on the longest path to each task from a source."""
        return _peel(self.producers, self.consumers)

    def bottom(self, seconds: Floats) -> Floats:
        """Returns (n,) bottom levels: the longest path from the start of each task to the end of all, in seconds."""
        below = seconds.astype(np.float64)
        for band in self._bands:
            below[band.producers] += np.maximum.reduceat(below[band.consumers], band.starts)
        return below

    def top(self, seconds: Floats, release: Floats | None = None, visit: Visit | None = None) -> Floats:
        """Returns (n,) the earliest start of each task, given enough ranks, in seconds.

        Args:
            seconds: (n,) time of each task.
            release: (n,) earliest permitted start of each task, in seconds.
            visit: called with the tasks of one height and their starts; returns later starts, or the same.
        """
        start = np.zeros(self.tasks) if release is None else release.astype(np.float64)
        for tasks, band in zip(reversed(self._by_height), (*reversed(self._bands), None), strict=True):
            if visit is not None:
                start[tasks] = visit(tasks, start[tasks])
            if band is not None:
                np.maximum.at(start, band.consumers, start[band.repeated] + seconds[band.repeated])
        return start

    def through(self, seconds: Floats) -> Floats:
        """Returns (n,) the longest path through each task from a source to a sink, in seconds."""
        through: Floats = self.top(seconds) + self.bottom(seconds)
        return through

    def before(self, marked: Ints) -> Bools:
        """Returns (n, S) true where a task is an ancestor of each of the S `marked` tasks."""
        own = np.zeros((self.tasks, len(marked)), dtype=np.bool_)
        own[marked, np.arange(len(marked))] = True
        bits = np.packbits(own, axis=1)
        found = np.zeros_like(bits)
        for band in self._bands:
            found[band.producers] = np.bitwise_or.reduceat((found | bits)[band.consumers], band.starts, axis=0)
        unpacked: Bools = np.unpackbits(found, axis=1, count=len(marked)).astype(np.bool_)
        return unpacked

    @cached_property
    def turned(self) -> Levels:
        """Returns the same graph with all edges reversed."""
        return Levels(self.tasks, self.edges[:, ::-1])

    def soft_flow(self, seconds: Floats, temperature: float) -> Floats:
        """Returns (n,) a unit flow from sources to sinks: the gradient of the smoothed critical path.

        The critical path is smoothed by log-sum-exp over all paths. As `temperature` (seconds) falls to zero, the flow
        concentrates on the longest path. For every unit flow, sum(flow * seconds) <= critical path.
        """
        scaled = seconds / temperature
        below = scaled.copy()
        for band in self._bands:
            below[band.producers] += _log_sum_exp(below[band.consumers], band)
        flow = np.zeros(self.tasks)
        sources = np.flatnonzero(self.depths == 0)
        flow[sources] = np.exp(below[sources] - below[sources].max(initial=0.0))
        flow /= flow.sum()
        after = below - scaled
        for band in reversed(self._bands):
            share = np.exp(below[band.consumers] - after[band.repeated])
            np.add.at(flow, band.consumers, flow[band.repeated] * share)
        return flow

    @cached_property
    def _unique(self) -> Ints:
        pairs: Ints = np.unique(np.asarray(self.edges, dtype=np.int64).reshape(-1, 2), axis=0)
        return pairs

    @cached_property
    def _heights(self) -> Ints:
        return _peel(self.consumers, self.producers)

    @cached_property
    def _by_height(self) -> tuple[Ints, ...]:
        """Returns the tasks of each height; every task above height 0 has an edge to a lower one."""
        counts = np.bincount(self._heights, minlength=1)
        return tuple(np.split(np.argsort(self._heights, kind="stable"), np.cumsum(counts)[:-1]))

    @cached_property
    def _bands(self) -> tuple[_Band, ...]:
        heights = self._heights
        producer, consumer = self._unique[:, 0], self._unique[:, 1]
        order = np.argsort(heights[producer], kind="stable")
        producer, consumer = producer[order], consumer[order]
        counts = np.bincount(heights[producer], minlength=1)
        bands = []
        for end, count in zip(np.cumsum(counts), counts, strict=True):
            repeated = producer[end - count : end]
            if count:
                new = np.diff(repeated, prepend=-1) != 0
                first = np.flatnonzero(new)
                place = np.cumsum(new) - 1
                bands.append(_Band(repeated[first], first, place, repeated, consumer[end - count : end]))
        return tuple(bands)


def _log_sum_exp(values: Floats, band: _Band) -> Floats:
    most = np.maximum.reduceat(values, band.starts)
    result: Floats = most + np.log(np.add.reduceat(np.exp(values - most[band.place]), band.starts))
    return result


def _csr(tasks: int, rows: Ints, items: Ints) -> Csr:
    order = np.lexsort((items, rows))
    starts = np.zeros(tasks + 1, dtype=np.int64)
    np.cumsum(np.bincount(rows, minlength=tasks), out=starts[1:])
    return Csr(starts, items[order])


def _peel(before: Csr, after: Csr) -> Ints:
    """Returns the longest distance of every task from those with nothing in `before`, shell by shell."""
    waiting = np.diff(before.starts)
    distance = np.zeros(len(waiting), dtype=np.int64)
    shell, peeled, step = np.flatnonzero(waiting == 0), 0, 0
    while len(shell):
        distance[shell] = step
        peeled += len(shell)
        reached = _rows(after, shell)
        np.subtract.at(waiting, reached, 1)
        reached = np.unique(reached)
        shell, step = reached[waiting[reached] == 0], step + 1
    if peeled < len(waiting):
        raise ValueError("the graph has a cycle")
    return distance


def _rows(csr: Csr, rows: Ints) -> Ints:
    """Returns the neighbours of several tasks, concatenated."""
    counts = csr.starts[rows + 1] - csr.starts[rows]
    ends = np.cumsum(counts)
    offsets = np.arange(ends[-1] if len(ends) else 0) - np.repeat(ends - counts, counts)
    items: Ints = csr.items[np.repeat(csr.starts[rows], counts) + offsets]
    return items
