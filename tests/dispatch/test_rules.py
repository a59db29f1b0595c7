"""Rules of the job file on a task's ranks are kept while the job runs, whatever the policy."""

import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from simulation import Simulation, cases, graph_of

from hpcmtl.layerplan.model.machine import Machine
from hpcmtl.layerplan.model.speedup import Speedups
from hpcmtl.layerplan.solve import policies
from hpcmtl.layerplan.solve.policies import COMPARED
from hpcmtl.taskgraph.graph import RankRules, TaskGraph, TaskNode

NODE = 2


class Watched(Simulation):
    """Checks the rules whenever a layer starts, on nodes of two ranks."""

    def __post_init__(self) -> None:
        with pytest.MonkeyPatch.context() as patch:
            make = policies.make_plan
            patch.setattr(
                "simulation.make_plan",
                lambda *args: make(*args, speedups=Speedups(machine=Machine(NODE))),
            )
            super().__post_init__()

    def obey(self, orders: Any) -> None:
        """Take commands in, and look at who runs now."""
        super().obey(orders)
        running = [state for state in self.dispatcher.tasks.values() if state.running]
        for state in running:
            assert state.running
            assert_allowed(self.case[0].task(state.plan.name), state.running.group, self.nodes_of(state))
            for other in running:
                alone = self.case[0].task(state.plan.name).rules.exclusive and other is not state
                assert not (alone and self.nodes_of(state) & self.nodes_of(other)), f"{state} beside {other}"
            leader = self.case[0].task(state.plan.name).rules.same_block
            if leader:
                assert state.running.group == self.dispatcher.tasks[leader].place

    def nodes_of(self, state: Any) -> set[int]:
        """The nodes that a running task has ranks of."""
        return {rank // NODE for rank in state.running.group} if len(self.ranks) > NODE else {0}


def assert_allowed(task: TaskNode, block: tuple[int, ...], nodes: set[int]) -> None:
    """The number of ranks is one that the task may have, and a block that fits a node does not straddle two."""
    rules = task.rules
    assert len(block) % rules.multiple_of == 0
    assert not rules.powers_of_two or len(block) in {1, 2, 4, 8}
    assert len(block) > NODE or len(nodes) == 1


@st.composite
def particular(draw: Any) -> tuple[TaskGraph, int]:
    """A random graph of tasks that want 1, 2 or 4 ranks, with rules that can be kept."""
    graph, _ = draw(cases(most=6))
    sizes = {task.name: (task.layers, draw(st.sampled_from([1, 2]))) for task in graph.tasks}
    rules = {}
    for task in graph.tasks:
        leaders = list(graph.producers(task.name))
        rules[task.name] = RankRules(
            multiple_of=draw(st.sampled_from([1, sizes[task.name][1]])),
            powers_of_two=draw(st.booleans()),
            exclusive=draw(st.booleans()),
            same_block=draw(st.sampled_from(["", *leaders])),
        )
    edges = [(edge.producer, edge.consumer) for edge in graph.edges]
    return graph_of(sizes, edges, rules=rules), draw(st.sampled_from([2, 4, 6]))


@pytest.mark.parametrize("policy", COMPARED)
@settings(max_examples=settings.default.max_examples // 6)
@given(particular(), st.integers(0, 2**32).map(random.Random))
def test_rules_are_kept(policy: str, case: Any, chance: Any) -> None:
    """Multiples, nodes, exclusive tasks and shared places hold at every moment, and the job completes."""
    if policy == "waves" and any(task.rules.same_block for task in case[0].tasks):
        policy = "sequential"  # waves refuse shared places

    simulation = Watched(case, policy, chance).run()

    assert set(simulation.statuses().values()) == {"complete"}
