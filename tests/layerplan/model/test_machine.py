"""The planner's view of nodes, cores, speeds and memory."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpcmtl.errors import InputError
from hpcmtl.jobfile.work import Work
from hpcmtl.layerplan.model.family import expected, family_of
from hpcmtl.layerplan.model.machine import Machine
from hpcmtl.layerplan.model.speedup import Speedups
from hpcmtl.layerplan.problem.planning_problem import make_problem
from hpcmtl.layerplan.solve.policies import make_plan
from hpcmtl.taskgraph.graph import ANY_GPU, RankRules, TaskGraph, TaskNode

WIDTHS = np.array([1.0, 2.0, 3.0, 4.0])
WORK = Work(1000, 3, 64, 1024, 100_000, trains=True)
TASKS = TaskGraph(tuple(TaskNode(name, "train", 0, 1, 4, WORK.input_bytes, 2, WORK) for name in "abcd"), ())


@pytest.mark.parametrize(
    ("machine", "contention"),
    [
        (Machine(), [1, 1, 1, 1]),
        (Machine(cores=2), [1, 1, 1.5, 2]),
        (Machine(cores=2, rank_speed=(1.0,) * 4, efficiency=0.5), [1, 4 / 3, 5 / 3, 2]),
        (Machine(node=2, efficiency=0.5), [1, 2, 2, 2]),
        (Machine(node=1, cores=1, efficiency=0.9), [1, 1, 1, 1]),
        (Machine(cores=4, rank_speed=(1.0,) * 4, efficiency=1.0), [1, 1, 1, 1]),
    ],
)
def test_contention(machine, contention):
    """With a probe from 1 for one rank to what all of a node cost; without one ranks for each core."""
    assert machine.contention(WIDTHS) == pytest.approx(contention)


@given(st.floats(0.01, 1), st.integers(2, 64), st.integers(0, 1))
def test_contention_never_falls(efficiency, ranks, nodes):
    """More ranks of a node never compute faster each, and one alone is as fast as it is."""
    machine = Machine(node=nodes * ranks, rank_speed=(1.0,) * ranks, efficiency=efficiency)
    contention = machine.contention(np.arange(1.0, ranks + 1))

    assert contention[0] == 1
    assert (np.diff(contention) >= 0).all()
    assert contention[-1] == pytest.approx(1 / efficiency)


def test_speeds_that_are_about_even_are_no_rule():
    """Up to 15 % of difference costs the planner nothing; a slow rank does, and the others are ordinary."""
    assert Machine().speeds is None
    assert Machine(rank_speed=(1.0, 0.9, 1.02)).speeds is None
    assert Machine(rank_speed=(1.0, 0.93, 1.1, 0.52)).speeds.tolist() == [1.0, 1.0, 1.0, 0.5]


def test_a_block_is_as_fast_as_its_slowest_rank():
    """A layer on a slow rank was slow because of it: the family's own times are what they were."""
    machine = Machine(rank_speed=(1.0, 1.0, 1.0, 0.5))

    assert machine.share(range(3)) == (1, 1.0)
    assert machine.share(range(2, 4)) == (1, 2.0)


@pytest.mark.parametrize(
    ("block", "nodes"), [(range(4), 1), (range(1, 2), 1), (range(3, 5), 2), (range(4, 8), 1), (range(2, 12), 3)]
)
def test_a_block_spans_nodes(block, nodes):
    """Nodes are counted with the first and the last one; ranks of one node are on that alone."""
    assert Machine(node=4).share(block)[0] == nodes
    assert Machine().share(block)[0] == 1


def test_the_plan_goes_round_a_slow_rank():
    """With a rank ten times slower than the others, no task is planned for it; the plan survives its file."""
    machine = Machine(rank_speed=(1.0, 1.0, 1.0, 0.1), rank_memory=(1 << 30,) * 4, efficiency=1.0)
    plan = make_plan(TASKS, 4, speedups=Speedups(machine=machine))
    problem = make_problem(TASKS, 4, Speedups(machine=machine))

    assert max(task.first_rank + task.width for task in plan.tasks) <= 3
    assert problem.rules.rank_memory.tolist() == [1 << 30] * 4
    assert type(plan).from_dict(plan.to_dict()) == plan
    assert type(plan).from_dict({**plan.to_dict(), "machine": {"node": 0, "cores": 2}}).machine == Machine(cores=2)


@pytest.mark.parametrize("policy", ["variable", "sequential", "one_rank"])
def test_the_memory_of_a_task_keeps_it_off_small_ranks(policy):
    """`memory` alone is a rule: its task is on ranks that have it, and others may use all; too much is refused."""
    machine = Machine(rank_memory=(1 << 20, 1 << 20, 1 << 30, 1 << 30))
    tasks = tuple(replace(task, rules=RankRules(memory=1 << 25)) for task in TASKS.tasks)
    plan = make_plan(TaskGraph(tasks, TASKS.edges), 4, policy, speedups=Speedups(machine=machine))
    huge = tuple(replace(task, rules=RankRules(memory=1 << 31)) for task in TASKS.tasks)

    assert min(task.first_rank for task in plan.tasks) == 2
    assert max(task.width for task in plan.tasks) <= 2
    with pytest.raises(InputError, match="fits nowhere"):
        make_plan(TaskGraph(huge, TASKS.edges), 4, policy, speedups=Speedups(machine=machine))


@pytest.mark.parametrize("policy", ["variable", "sequential", "one_rank"])
def test_tasks_that_ask_for_gpus_are_where_some_are(policy):
    """`gpu_memory` is a rule like `memory`; without a word on GPUs a machine may have any."""
    machine = Machine(rank_gpu_memory=(0, 8 << 30, 8 << 30, 1 << 30))
    needs = {"a": ANY_GPU, "b": 4 << 30, "c": 0, "d": 0}
    tasks = tuple(replace(task, rules=RankRules(gpu_memory=needs[task.name])) for task in TASKS.tasks)
    plan = make_plan(TaskGraph(tasks, TASKS.edges), 4, policy, speedups=Speedups(machine=machine))
    blocks = {task.name: range(task.first_rank, task.first_rank + task.width) for task in plan.tasks}
    huge = tuple(replace(task, rules=RankRules(gpu_memory=16 << 30)) for task in TASKS.tasks)

    assert 0 not in blocks["a"]
    assert set(blocks["b"]) <= {1, 2}
    assert type(plan).from_dict(plan.to_dict()) == plan
    assert make_plan(TaskGraph(huge, TASKS.edges), 4, policy).makespan > 0
    with pytest.raises(InputError, match="fits nowhere.*GPUs"):
        make_plan(TaskGraph(huge, TASKS.edges), 4, policy, speedups=Speedups(machine=machine))


def test_rates_do_not_depend_on_the_ranks():
    """The prior of a family is the same before and after a loss of ranks, so that fits of it are found again."""
    probed = {"flops": 1e9, "latency": 1e-5, "seconds_per_byte": 8e-9}
    before = Machine(node=2, rank_speed=(1.0,) * 4, rank_memory=(1,) * 4, efficiency=0.5, **probed)
    after = Machine(rank_speed=(1.0,) * 3, rank_memory=(1,) * 3, **probed)
    family = family_of(TASKS.tasks[0])

    assert before.rates == after.rates
    assert np.array_equal(expected(family, before.rates).mean, expected(family, before).mean)
