from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from hpcmtl.layerplan.problem import make_problem
from hpcmtl.layerplan.speedup import LAYER_SECONDS, seconds_at
from hpcmtl.taskgraph.graph import TaskGraph, TaskNode
from hpcmtl.taskgraph.work import Work

WORK = Work(10_000, 3, 64, 4096, 1_000_000, trains=True)
NODE = TaskNode("a", "train", 0, 1, 64, WORK.input_bytes, 4, WORK)
WIDTHS = np.array([1, 2, 3, 4, 8, 64])


def with_work(**changes: object) -> TaskNode:
    """The task with another size."""
    return replace(NODE, work=replace(WORK, **changes))


def test_more_ranks_are_faster_but_not_in_proportion() -> None:
    """A large network gains from ranks, and pays for the allreduce."""
    seconds = seconds_at(NODE, WIDTHS)

    assert seconds[1] < seconds[0]
    assert np.all(seconds[1:] * WIDTHS[1:] > seconds[0])


def test_a_tiny_network_is_slower_on_many_ranks() -> None:
    """Where a step is all latency the prediction says so, and such widths count as useless."""
    node = with_work(parameters=100, sample_bytes=4)
    problem = make_problem(TaskGraph((node,), ()), 64)

    assert seconds_at(node, WIDTHS)[-1] > seconds_at(node, WIDTHS)[0]
    assert problem.allowed[0].all()
    assert problem.useful[0].tolist() == [True] + [False] * 63


@pytest.mark.parametrize("changes", [{"passes": 6}, {"samples": 20_000}, {"parameters": 2_000_000}, {"trains": True}])
def test_more_work_takes_longer(changes: dict[str, object]) -> None:
    """Time grows with epochs, rows and parameters, and training takes longer than applying."""
    assert np.all(seconds_at(with_work(**changes), WIDTHS) > seconds_at(with_work(trains=False), WIDTHS))


def test_each_layer_costs_its_start() -> None:
    """Two more layers of the same work cost two more starts."""
    more = seconds_at(replace(NODE, layers=6), WIDTHS) - seconds_at(NODE, WIDTHS)

    assert more == pytest.approx(np.full(6, 2 * LAYER_SECONDS))


def test_python_tasks_do_not_scale() -> None:
    """Nothing is known of a callable, so that no rank is spent on it in vain."""
    seconds = seconds_at(replace(NODE, kind="python"), WIDTHS)

    assert np.all(seconds == seconds[0])
    assert seconds[0] > 0


def test_widths_outside_the_limits_are_not_allowed() -> None:
    """Limits of a task are infinite times, and stand in the table of a large world though it has gaps."""
    problem = make_problem(TaskGraph((replace(NODE, min_ranks=3, max_ranks=61),), ()), 1000)
    allowed = problem.widths[problem.allowed[0]]

    assert (allowed[0], allowed[-1]) == (3, 61)
    assert problem.widths[-1] == 1000
    assert len(problem.widths) < 100
