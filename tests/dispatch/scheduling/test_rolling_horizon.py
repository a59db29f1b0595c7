"""The scheduler that looks ahead: it keeps ranks for what is urgent, moves groups where that pays, and learns."""

import itertools
import random
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from simulation import Simulation, cases, graph_of

from hpcmtl.dispatch.coordinator.running import Running
from hpcmtl.dispatch.coordinator.state import TaskState
from hpcmtl.dispatch.membership.world import World
from hpcmtl.dispatch.protocol import Release
from hpcmtl.dispatch.scheduling.rolling_horizon import RollingHorizonScheduler
from hpcmtl.jobfile.work import Work
from hpcmtl.layerplan.model.speedup import Speedups
from hpcmtl.layerplan.solve.policies import make_plan
from hpcmtl.taskgraph.graph import Edge, RankRules, TaskGraph, TaskNode
from hpcmtl.training.session import LayerOutcome

WORK = Work(20_000, 4, 256, 4096, 2_000_000, trains=True)


def node(name, layers=4, ranks=(1, 8), priority=0, **work):
    """A task that gains from ranks."""
    return TaskNode(name, "train", priority, *ranks, WORK.input_bytes, layers, replace(WORK, **work))


def states_of(plan, graph):
    """All tasks, not begun."""
    return {task.name: TaskState(task, graph.producers(task.name)) for task in plan.tasks}


def begin(state, layer, block, now):
    """Let a layer run."""
    state.running, state.layers_done = Running(layer, tuple(block), now, now), layer


def seconds_of(graph, name, width):
    """Predicted seconds of one layer."""
    task = graph.task(name)
    return float(Speedups().predict(task, [width]).seconds[0]) / task.layers


@settings(max_examples=settings.default.max_examples // 2)
@given(cases(), st.integers(0, 2**32).map(random.Random))
def test_something_always_runs(case, chance):
    """Whenever the dispatcher has spoken and the job has not ended, some rank is busy."""

    class Watched(Simulation):
        def obey(self, orders):
            super().obey(orders)
            assert self.dispatcher.ended or any(state.running for state in self.dispatcher.tasks.values())

    Watched(case, "variable", chance).run()


def test_the_plan_is_followed_while_it_comes_true():
    """If layers take what was predicted, tasks start as planned, on as many ranks."""
    graph = TaskGraph((node("trunk"), node("a"), node("b")), (Edge("trunk", "a", "order"), Edge("trunk", "b", "order")))
    plan = make_plan(graph, 4)
    states, scheduler = states_of(plan, graph), RollingHorizonScheduler(graph, plan)

    ((state, block),) = scheduler.starts(states, 0.0)
    assert (state.plan.name, len(block)) == ("trunk", plan.task("trunk").width)

    states["trunk"].status, states["trunk"].layers_done = "complete", 4
    started = {state.plan.name: len(block) for state, block in scheduler.starts(states, 50.0)}
    assert started == {name: plan.task(name).width for name in "ab"}


def test_a_plan_that_ends_sooner_than_the_longest_first_is_followed():
    """Two tasks of three units and three of two fit into six, if the long ones do not begin side by side."""
    long, short = [
        [node(f"{units}{k}", 1, (1, 1), passes=10 * units) for k in range(n)] for units, n in ((3, 2), (2, 3))
    ]
    graph = TaskGraph((*long, *short), ())
    plan = make_plan(graph, 2)
    starts = {state.plan.name for state, _ in RollingHorizonScheduler(graph, plan).starts(states_of(plan, graph), 0.0)}

    assert plan.makespan == pytest.approx(3 * seconds_of(graph, "20", 1))
    assert starts == {task.name for task in plan.tasks if task.start == 0.0}
    assert sorted(name[0] for name in starts) == ["2", "3"]


def test_ranks_wait_for_an_urgent_task():
    """A long task on few ranks does not take those that an urgent one needs in a moment; a short one may."""
    first, urgent = node("first", 1, (2, 2), 1), node("urgent", 1, (4, 4), 1)
    others = node("long", 1, (2, 2)), node("short", 1, (2, 2), passes=1)
    graph = TaskGraph((first, urgent, *others), (Edge("first", "urgent", "order"),))
    plan = make_plan(graph, 4)
    states, scheduler = states_of(plan, graph), RollingHorizonScheduler(graph, plan)
    half = seconds_of(graph, "first", 2) / 2
    begin(states["first"], 0, range(2), 0.0)
    started = {state.plan.name: block for state, block in scheduler.starts(states, half)}

    assert seconds_of(graph, "short", 2) < half < seconds_of(graph, "long", 2)
    assert started == {"short": range(2, 4)}


def test_a_group_moves_only_where_that_pays():
    """A task goes on where it is; when the ranks beside it are free for good, it takes them at its next layer."""
    graph = TaskGraph((node("a", 8), node("b", 1, passes=1)), ())
    plan = make_plan(graph, 2, "fixed")
    scheduler, states = RollingHorizonScheduler(graph, plan), states_of(plan, graph)
    states["a"].layers_done, states["a"].held = 2, range(1)
    begin(states["b"], 0, range(1, 2), 0.0)

    ((state, block),) = scheduler.starts(states, 0.1)
    assert (state.plan.name, block) == ("a", range(1))

    states["b"].running, states["b"].status = None, "complete"
    ((state, block),) = scheduler.starts(states, 0.1)
    assert (state.plan.name, block) == ("a", range(2))


def test_nearly_done_is_not_moved():
    """The rest of a short task is not worth a new session."""
    graph = TaskGraph((node("a", 8, samples=256, passes=8, parameters=1000),), ())
    plan = make_plan(graph, 2)
    scheduler, states = RollingHorizonScheduler(graph, plan), states_of(plan, graph)
    states["a"].layers_done, states["a"].held = 7, range(1, 2)

    ((_, block),) = scheduler.starts(states, 0.1)
    assert block == range(1, 2)


def test_predictions_follow_what_layers_take():
    """A layer that took three times as long is a surprise once; the next is predicted so."""
    graph = TaskGraph((node("a"), node("b")), ())
    plan = make_plan(graph, 2)
    scheduler, states = RollingHorizonScheduler(graph, plan), states_of(plan, graph)
    guess = seconds_of(graph, "a", 1)
    told = []
    for layer in range(3):
        begin(states["a"], layer, range(1), 0.0)
        outcome = LayerOutcome(100, 256, 3 * guess / 100, 3 * guess)
        told.append(scheduler.layer_ended(states["a"], states["a"].running, outcome, 3 * guess)["predicted_seconds"])
        states["a"].running, states["a"].layers_done = None, layer + 1
        assert list(scheduler.starts(states, 10.0 * layer))  # looked at, with what is to start next

    assert told[0] == pytest.approx(guess)
    assert told[1] == told[2] == pytest.approx(told[1])
    assert told[1] > 2 * guess


def test_the_cost_of_a_session_is_what_steps_do_not_take():
    """Of a layer of 10 s with four steps of 2 s, the other 2 s are noted; of one that is all steps, nothing."""
    graph = TaskGraph((node("a"),), ())
    plan = make_plan(graph, 2)
    scheduler, states = RollingHorizonScheduler(graph, plan), states_of(plan, graph)
    begin(states["a"], 0, range(1), 0.0)
    for seconds in (10.0, 8.0, 7.9):
        scheduler.layer_ended(states["a"], states["a"].running, LayerOutcome(4, 256, 2.0, seconds), seconds)

    assert scheduler._beside[states["a"].running.opened] == pytest.approx([2.0, 0.0, 0.0])


def test_a_moved_task_leaves_its_session():
    """Whoever moves a task releases the old ranks first: the simulated ranks would refuse another session."""
    graph = graph_of({"a": (6, 1), "b": (1, 1), "c": (6, 1)})
    simulation = Simulation((graph, 4), "variable", random.Random(5))
    orders = []
    obey = simulation.obey
    simulation.obey = lambda new: (orders.extend(new := list(new)), obey(new))
    simulation.run()
    widths = {name: {len(command.group) for command in simulation.started if command.task == name} for name in "abc"}

    assert any(len(found) > 1 for found in widths.values()), "nothing was resized: the test shows nothing"
    assert any(isinstance(order.command, Release) for order in orders)


def test_the_plan_moves_away_from_a_slow_rank():
    """Of three equal tasks on two ranks, one of which becomes slow, the one that is there moves away when it can."""
    graph = TaskGraph(tuple(node(name, 8, (1, 1)) for name in "abc"), ())
    plan = make_plan(graph, 2)
    states, scheduler = states_of(plan, graph), RollingHorizonScheduler(graph, plan)
    usual = seconds_of(graph, "a", 1)
    now, told = 0.0, {}
    for layer, (name, rank, pace) in enumerate([("a", 0, 1), ("a", 0, 1), ("b", 1, 3), ("b", 1, 3)]):
        begin(states[name], layer % 2, range(rank, rank + 1), now)
        now += pace * usual
        outcome = LayerOutcome(100, 256, pace * usual / 100, pace * usual)
        told = scheduler.layer_ended(states[name], states[name].running, outcome, now)
        states[name].layers_done, states[name].held, states[name].running = layer % 2 + 1, range(rank, rank + 1), None
    assert list(scheduler.starts(states, now))  # looked at
    states["c"].status, states["c"].layers_done = "complete", 8
    states["a"].status, states["a"].layers_done = "complete", 8
    at_last = {state.plan.name: block for state, block in scheduler.starts(states, now + 2)}

    assert told["slow_ranks"] == [1]
    assert at_last == {"b": range(1)}


def test_a_task_starts_where_its_leader_was():
    """A task with `same_block` gets the ranks of the task that it names, though others are free; the rest need none."""
    rules = RankRules(same_block="leader")
    graph = TaskGraph(
        (node("leader", 1, (2, 2)), replace(node("follower", 1, (2, 2)), rules=rules), node("free", 1, (2, 2))),
        (Edge("leader", "follower", "order"),),
    )
    plan = make_plan(graph, 4)
    states, scheduler = states_of(plan, graph), RollingHorizonScheduler(graph, plan)
    states["leader"].status, states["leader"].layers_done, states["leader"].place = "complete", 1, (2, 3)
    started = {state.plan.name: block for state, block in scheduler.starts(states, 1.0)}

    assert started == {"follower": range(2, 4), "free": range(2)}


def width_at(scheduler, states, now):
    """Returns the width with which the only task would start."""
    ((_, block),) = scheduler.starts(states, now)
    return len(block)


@pytest.fixture
def narrow():
    """A task that gains from ranks, planned on one of eight; its scheduler takes ten seconds for each new plan."""
    graph = TaskGraph((node("a"),), ())
    plan = make_plan(graph, 8, "one_rank")
    scheduler = RollingHorizonScheduler(graph, plan, clock=itertools.count(0.0, 10.0).__next__)
    states = states_of(plan, graph)

    def width_at(now):
        ((_, block),) = scheduler.starts(states, now)
        return len(block)

    def extend(world):
        scheduler.extend(graph, make_plan(graph, world.size, "one_rank"), world)

    return width_at, extend


def test_new_widths_after_a_loss(narrow):
    """A loss of ranks calls for new widths, those of a new plan; more tasks in the same world do not."""
    (width_at, extend), world = narrow, World.first(8)
    extend(world)
    before = width_at(0.0)
    extend(world.shrunk(range(6)))

    assert before == 1
    assert width_at(0.0) == make_plan(TaskGraph((node("a"),), ()), 6).task("a").width > 3


def test_new_plans_take_a_small_part_of_the_time(narrow):
    """A plan that took ten seconds is followed by another one after 500 s, so that planning takes 2 % of the time."""
    (width_at, extend), world = narrow, World.first(8)
    extend(world.shrunk(range(6)))
    first = width_at(0.0)
    extend(world.shrunk(range(5)))
    early, late = width_at(499.0), width_at(501.0)

    assert first > early == 1
    assert late > 1
