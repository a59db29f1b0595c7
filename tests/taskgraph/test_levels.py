from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpcmtl.taskgraph.levels import Levels

Case = tuple[int, list[tuple[int, int]], list[float]]


@st.composite
def graphs(draw: Any) -> Case:
    """A random graph without cycles, its tasks in shuffled order, with seconds."""
    tasks = draw(st.integers(1, 9))
    names = draw(st.permutations(range(tasks)))
    pairs = [(names[i], names[j]) for i in range(tasks) for j in range(i + 1, tasks)]
    edges = draw(st.lists(st.sampled_from(pairs), max_size=20)) if pairs else []
    return tasks, edges, draw(st.lists(st.floats(0.001, 100), min_size=tasks, max_size=tasks))


def all_ways(tasks: int, edges: list[tuple[int, int]]) -> list[list[int]]:
    """Every way from a source to a sink, the slow and obvious way."""
    followers = {i: {b for a, b in edges if a == i} for i in range(tasks)}
    ways = [[i] for i in range(tasks) if i not in {b for _, b in edges}]
    done = []
    while ways:
        way = ways.pop()
        done += [] if followers[way[-1]] else [way]
        ways += [[*way, follower] for follower in followers[way[-1]]]
    return done


@given(graphs())
def test_sweeps_equal_the_enumeration_of_all_ways(case: Case) -> None:
    """Bottom levels, top levels and depths are what a walk over every way from source to sink finds."""
    tasks, edges, times = case
    levels, seconds = Levels(tasks, np.array(edges).reshape(-1, 2)), np.array(times)
    ways = all_ways(tasks, edges)
    bottom = [max(sum(times[j] for j in w[w.index(i) :]) for w in ways if i in w) for i in range(tasks)]
    top = [max(sum(times[j] for j in w[: w.index(i)]) for w in ways if i in w) for i in range(tasks)]

    assert levels.bottom(seconds) == pytest.approx(bottom)
    assert levels.top(seconds) == pytest.approx(top)
    assert levels.depths.tolist() == [max(w.index(i) for w in ways if i in w) for i in range(tasks)]


@given(graphs(), st.floats(0.01, 100))
def test_soft_flow_is_a_unit_flow(case: Case, temperature: float) -> None:
    """The weight of the flow is an average over ways, so it is never longer than the critical path."""
    tasks, edges, times = case
    levels, seconds = Levels(tasks, np.array(edges).reshape(-1, 2)), np.array(times)
    flow = levels.soft_flow(seconds, temperature)
    sinks = sorted(set(range(tasks)) - {a for a, _ in edges})

    assert flow[levels.depths == 0].sum() == pytest.approx(1)
    assert flow[sinks].sum() == pytest.approx(1)
    assert flow @ seconds <= levels.bottom(seconds).max() * (1 + 1e-9)


def test_soft_flow_gathers_on_the_longest_way() -> None:
    """At a low temperature the flow is the critical path itself."""
    levels = Levels(4, np.array([(0, 1), (0, 2), (1, 3), (2, 3)]))

    assert levels.soft_flow(np.array([1.0, 5.0, 2.0, 1.0]), 0.01) == pytest.approx([1, 1, 0, 1])


@given(graphs())
def test_neighbours_are_those_of_the_edges(case: Case) -> None:
    """The CSR form gives every task its producers and consumers, once each."""
    tasks, edges, _ = case
    levels = Levels(tasks, np.array(edges).reshape(-1, 2))
    down = {(i, j) for i in range(tasks) for j in levels.consumers.items[slice(*levels.consumers.starts[i : i + 2])]}
    up = {(j, i) for i in range(tasks) for j in levels.producers.items[slice(*levels.producers.starts[i : i + 2])]}

    assert down == up == set(edges)


def test_a_cycle_is_refused() -> None:
    """A sweep over a graph with a cycle would never end, so it is refused."""
    with pytest.raises(ValueError, match="has a cycle"):
        Levels(3, np.array([(0, 1), (1, 2), (2, 1)])).bottom(np.ones(3))
