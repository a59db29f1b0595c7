from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from hpcmtl.jobfile.work import Work
from hpcmtl.layerplan.model.family import LAYER_SECONDS, family_of
from hpcmtl.layerplan.model.machine import Machine
from hpcmtl.layerplan.model.speedup import Measurement, Speedups
from hpcmtl.layerplan.problem.planning_problem import make_problem
from hpcmtl.taskgraph.graph import TaskGraph, TaskNode

WORK = Work(10_000, 3, 64, 4096, 1_000_000, trains=True)
NODE = TaskNode("a", "train", 0, 1, 64, WORK.input_bytes, 4, WORK)
WIDTHS = np.array([1, 2, 3, 4, 8, 64])


def with_work(**changes: object) -> TaskNode:
    """The task with another size."""
    return replace(NODE, work=replace(WORK, **changes))


def seconds_at(task: TaskNode, *measured: Measurement) -> np.ndarray:
    """Predicted seconds at `WIDTHS`."""
    return Speedups(measured).predict(task, WIDTHS).seconds


def layer(task: TaskNode, ranks: int, step_seconds: float, beside: float = 0.5, steps: int = 100) -> Measurement:
    """A measured layer of a task."""
    rows = -(-task.work.batch_size // ranks)
    return Measurement(
        family=family_of(task),
        ranks=ranks,
        nodes=1,
        contention=1.0,
        rows=rows,
        steps=steps,
        step_seconds=step_seconds,
        seconds=steps * step_seconds + beside,
    )


def test_more_ranks_are_faster_but_not_in_proportion() -> None:
    """A large network gains from ranks, and pays for the allreduce."""
    seconds = seconds_at(NODE)

    assert seconds[1] < seconds[0]
    assert np.all(seconds[1:] * WIDTHS[1:] > seconds[0])


def test_the_rates_of_ranks_count() -> None:
    """Ranks that multiply matrices twice as fast need half the time of a large network, and as long for a tiny one."""
    large, tiny = with_work(multiplications=100_000_000), with_work(parameters=100, sample_bytes=4)
    fast, slow = (Speedups(machine=Machine(flops=flops)) for flops in (2e11, 1e11))

    assert fast.seconds(large, WIDTHS)[:4] == pytest.approx(slow.seconds(large, WIDTHS)[:4] / 2, rel=0.05)
    assert fast.seconds(tiny, WIDTHS) == pytest.approx(slow.seconds(tiny, WIDTHS), rel=0.05)


def test_a_slow_network_keeps_a_task_inside_a_node() -> None:
    """Steps that span nodes take longer by what was probed: the bytes of the gradient, and a latency for each round."""
    task, two = with_work(parameters=250_000, multiplications=1_000_000), np.array([2, 4])
    inside, across = Speedups(machine=Machine(node=2)).seconds(task, two)
    slow = Speedups(machine=Machine(node=2, latency=5e-5, seconds_per_byte=8e-9)).seconds(task, two)
    far = Speedups(machine=Machine(node=2, latency=1e-2, seconds_per_byte=1e-11)).seconds(task, two)
    steps = task.work.steps

    assert slow[0] == far[0] == inside
    # 1 MB of gradient, of which 2 (p - 1) / p are on the wire, at 1 Gb/s: 12 ms, less what computation hides.
    assert slow[1] - across == pytest.approx(steps * 0.012, rel=0.25)
    assert far[1] - across == pytest.approx(steps * 4 * 1e-2, rel=0.25)


def test_few_rows_do_not_fill_a_core() -> None:
    """Two ranks that share a batch of 64 rows take two thirds of the time of one, and more than half of it."""
    seconds = seconds_at(with_work(multiplications=100_000_000))

    assert seconds[1] / seconds[0] == pytest.approx(2 / 3, rel=0.05)


def test_a_tiny_network_is_slower_on_many_ranks() -> None:
    """Where a step is all latency the prediction says so, and such widths count as useless."""
    node = with_work(parameters=100, sample_bytes=4)
    problem = make_problem(TaskGraph((node,), ()), 64)

    assert seconds_at(node)[-1] > seconds_at(node)[0]
    assert problem.allowed[0].all()
    assert problem.useful[0].tolist() == [True] + [False] * 63


@pytest.mark.parametrize("changes", [{"passes": 6}, {"samples": 20_000}, {"parameters": 2_000_000}])
def test_more_work_takes_longer(changes: dict[str, object]) -> None:
    """Time grows with epochs, rows and parameters."""
    assert np.all(seconds_at(with_work(**changes)) > seconds_at(NODE))


def test_training_takes_longer_than_applying() -> None:
    """A network is only run forward by a task that applies it, once."""
    assert np.all(seconds_at(NODE) > seconds_at(replace(with_work(trains=False), kind="extract")))


def test_each_layer_costs_its_start() -> None:
    """Two more layers of the same work cost two more starts: as measured, or else as guessed."""
    measured = [layer(NODE, 2, 0.01, beside) for beside in (0.2, 0.4)]

    for start, known in ((LAYER_SECONDS, []), (0.3, measured)):
        more = seconds_at(replace(NODE, layers=6), *known) - seconds_at(NODE, *known)
        assert more == pytest.approx(np.full(6, 2 * start))


def test_python_tasks_do_not_scale() -> None:
    """Nothing is known of a callable, so that no rank is spent on it in vain; one that was measured is known."""
    node = replace(with_work(trains=False, opaque=True), kind="python", layers=1)
    measured = Measurement(
        family=family_of(node), ranks=3, nodes=1, contention=3.0, rows=0, steps=1, step_seconds=7.0, seconds=7.0
    )
    before, after = seconds_at(node), seconds_at(node, measured)

    assert np.all(before == before[0])
    assert before[0] > 0
    assert after == pytest.approx(np.full(6, 7.0))
    assert np.all(seconds_at(replace(node, name="b"), measured) < 3.0)


def test_measured_widths_are_predicted_by_the_median() -> None:
    """The median of the steps counts where there is one, to the last bit but rounding; the fit in between."""
    found = [layer(NODE, 1, s, beside=0.0) for s in (0.2, 0.3, 9.0)] + [layer(NODE, 4, 0.2, beside=0.0)]
    known = Speedups(found).predict(NODE, WIDTHS)

    assert known.seconds[[0, 3]] == pytest.approx([0.3 * WORK.steps, 0.2 * WORK.steps])
    assert known.measured.tolist() == [True, False, False, True, False, False]
    assert known.layers == 4
    assert 0.1 * WORK.steps < known.seconds[1] < 0.35 * WORK.steps


def test_measurements_make_sure() -> None:
    """A measured time is predicted with less doubt than another one, and its neighbours with less than before."""
    before = Speedups().predict(NODE, WIDTHS)
    after = Speedups([layer(NODE, 1, 0.05, beside=0.0)] * 4).predict(NODE, WIDTHS)
    doubt_before, doubt_after = before.late / before.seconds, after.late / after.seconds

    assert np.all(doubt_before > 1)
    assert 1 < doubt_after[0] < 1.1 < doubt_after[1]
    assert np.all(doubt_after[:5] < doubt_before[:5])


def test_a_family_learns_from_others() -> None:
    """If steps were three times as long as their size says, a family that was not measured is thought slower."""
    other = with_work(parameters=500_000, batch_size=32)
    expected = seconds_at(other)[0] / other.work.steps
    slow = [layer(other, ranks, 3 * expected / min(ranks, 2)) for ranks in (1, 2, 4)]

    assert np.all(seconds_at(NODE, *slow)[:3] > 1.3 * seconds_at(NODE)[:3])


def test_shared_cores_are_no_gain() -> None:
    """Where four ranks share two cores, four are hardly faster than two; on nodes of two ranks they are."""
    node = with_work(batch_size=512, multiplications=10_000_000)
    free, shared, nodes = (
        Speedups(machine=machine).predict(node, WIDTHS).seconds
        for machine in (Machine(), Machine(cores=2), Machine(node=2, cores=2))
    )

    assert shared[:2] == pytest.approx(free[:2])
    assert shared[3] > 0.95 * shared[1]
    assert free[3] < 0.7 * free[1]
    assert nodes[3] < 0.7 * nodes[1]


def test_the_order_of_measurements_does_not_matter() -> None:
    """The same measurements in another order predict the same."""
    found = [layer(NODE, ranks, 0.3 / ranks + 0.01 * k) for ranks in (1, 2, 4) for k in range(3)]

    assert seconds_at(NODE, *found) == pytest.approx(seconds_at(NODE, *found[::-1]), rel=1e-6)


def test_widths_outside_the_limits_are_not_allowed() -> None:
    """Limits of a task are infinite times, and stand in the table of a large world though it has gaps."""
    problem = make_problem(TaskGraph((replace(NODE, min_ranks=3, max_ranks=61),), ()), 1000)
    allowed = problem.widths[problem.allowed[0]]

    assert (allowed[0], allowed[-1]) == (3, 61)
    assert problem.widths[-1] == 1000
    assert len(problem.widths) < 100


def test_the_nodes_of_a_group_tell_which_measurement_counts() -> None:
    """On nodes of four ranks, up to four are measured on one node, eight on two; another number of nodes is new."""
    machine, widths = Machine(node=4), np.array([3, 4, 8])
    near = [replace(layer(NODE, ranks, 0.2, beside=0.0), nodes=nodes) for ranks, nodes in ((3, 1), (4, 1), (8, 2))]
    far = [replace(each, nodes=each.nodes + 1) for each in near]
    known = Speedups(near, machine).predict(NODE, widths)

    assert known.measured.tolist() == [True, True, True]
    assert known.seconds == pytest.approx(np.full(3, 0.2 * WORK.steps))
    assert Speedups(far, machine).predict(NODE, widths).measured.tolist() == [False, False, False]
