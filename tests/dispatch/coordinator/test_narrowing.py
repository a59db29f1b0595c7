"""The plan and the graph that are left after a loss of ranks."""

from dataclasses import replace
from types import SimpleNamespace

from simulation import graph_of

from hpcmtl.dispatch.coordinator.narrowing import graph_on, plan_on
from hpcmtl.layerplan.solve.policies import make_plan
from hpcmtl.taskgraph.graph import TaskGraph


def test_the_machine_keeps_the_facts_of_the_ranks_that_are_left():
    """Speeds are those of the living ranks, in order; facts that were not known stay unknown."""
    plan = make_plan(graph_of({"a": (1, 1)}, []), 4)
    known = {"rank_speed": (1.0, 0.9, 0.8, 0.7), "rank_memory": (), "rank_gpu_memory": (0, 5, 6, 7)}
    plan = replace(plan, machine=replace(plan.machine, **known))
    narrow = plan_on(plan, [0, 2, 3])

    assert narrow.ranks == 3
    assert narrow.machine.rank_speed == (1.0, 0.8, 0.7)
    assert narrow.machine.rank_memory == ()
    assert narrow.machine.rank_gpu_memory == (0, 6, 7)


def state_of(status, running=None, needs=(), failed=0):
    """The part of a task's state that counts here."""
    return SimpleNamespace(status=status, running=running, needs=needs, failed=failed)


def test_a_stuck_task_and_what_needs_it_need_no_ranks():
    """A task that fails by its stuck layer stops no other for want of ranks, unless it is to be tried again."""
    graph = graph_of({"a": (1, 1), "b": (1, 1), "c": (1, 1)}, [("a", "b")])
    graph = TaskGraph(tuple(replace(each, min_ranks=4, retries=1) for each in graph.tasks), graph.edges)
    stuck = SimpleNamespace(stuck=5.0)
    found = []
    for failed in (0, 1):
        tasks = {"a": state_of(None, stuck, failed=failed), "b": state_of(None, needs=("a",)), "c": state_of(None)}
        found.append([each.min_ranks for each in graph_on(graph, tasks, 2).tasks])

    assert found == [[4, 4, 4], [2, 2, 4]]


def test_a_task_that_has_ended_needs_no_ranks():
    """The smallest number of ranks is lowered for tasks that have ended, and kept for others."""
    graph = graph_of({"a": (1, 1), "b": (1, 1)}, [])
    graph = TaskGraph(tuple(replace(each, min_ranks=4) for each in graph.tasks), graph.edges)
    tasks = {name: state_of(status) for name, status in (("a", "complete"), ("b", None))}

    assert [each.min_ranks for each in graph_on(graph, tasks, 2).tasks] == [2, 4]
