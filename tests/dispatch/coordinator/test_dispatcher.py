"""The dispatcher keeps its rules for random graphs, plans, orders of reports and failures; see also `simulation`."""

import itertools
import random
from dataclasses import replace

import pytest
from events import state_after
from hypothesis import given, settings
from hypothesis import strategies as st
from simulation import Simulation, cases, graph_of

from hpcmtl.dispatch.coordinator.dispatcher import FIRST_BACK_OFF_SECONDS, GRACE_SECONDS
from hpcmtl.dispatch.coordinator.recovery import lose
from hpcmtl.dispatch.coordinator.running import UnrecoverableError
from hpcmtl.dispatch.coordinator.silence import LATE_SECONDS
from hpcmtl.dispatch.membership.survivors import SurvivorReport
from hpcmtl.dispatch.membership.world import World
from hpcmtl.dispatch.protocol import LayerDone, LayerFailed, ProgressReport, RunLayer, StopRequest
from hpcmtl.results.step_progress import StepProgress
from hpcmtl.taskgraph.graph import TaskGraph
from hpcmtl.training.session import LayerOutcome

POLICY = st.sampled_from(["variable", "waves", "sequential", "one_rank"])
CHANCE = st.integers(0, 2**32).map(random.Random)


def done(member, outcome=None, group=(0, 1, 2), finished=None):
    """A report on layer 0 of task a."""
    finished = (member,) if finished is None else finished
    said = {"member": member, "task": "a", "layer": 0, "group": group, "start_number": 1}
    return LayerDone(**said, outcome=outcome, finished=finished)


def failed(member, message="boom", group=(0, 1, 2)):
    """A report of a failure in layer 0 of task a."""
    return LayerFailed(member=member, task="a", layer=0, group=group, start_number=1, message=message)


def fates(needs, failing):
    """Status of each task, worked out from the graph alone."""
    fate = {}
    for name in needs:  # in topological order
        lost = any(fate[need] != "complete" for need in needs[name])
        fate[name] = "skipped" if lost else "failed" if name in failing else "complete"
    return fate


def layers_of(simulation):
    """Layers that were started, by task, in order."""
    return {
        name: [command.layer for command in simulation.started if command.task == name] for name in simulation.needs
    }


@given(cases(), POLICY, CHANCE)
def test_every_job_ends_with_every_layer_run_once(case, policy, chance):
    """All layers of all tasks run once and in order, no rank has two at a time, and each is told the end once."""
    simulation = Simulation(case, policy, chance).run()

    assert simulation.dispatcher.ended
    assert set(simulation.statuses().values()) == {"complete"}
    assert layers_of(simulation) == {task.name: list(range(task.layers)) for task in case[0].tasks}
    assert [rank.ends for rank in simulation.ranks] == [1] * case[1]
    for command in simulation.started:
        task = case[0].task(command.task)
        assert task.min_ranks <= len(command.group) <= task.max_ranks
        assert policy == "variable" or len(command.group) == simulation.plan.task(command.task).width


@settings(max_examples=settings.default.max_examples // 2)
@given(cases(), POLICY, CHANCE, st.data())
def test_a_failed_task_takes_its_dependents_and_nobody_else(case, policy, chance, data):
    """Tasks that fail are `failed`, all that needs them is `skipped` and says why, and every other task completes."""
    graph, _ = case
    failing = {}
    for task in data.draw(st.lists(st.sampled_from(graph.tasks), min_size=1, max_size=3, unique=True)):
        members = data.draw(st.sets(st.integers(0, task.min_ranks - 1), min_size=1))
        failing[task.name, data.draw(st.integers(0, task.layers - 1))] = frozenset(members)
    simulation = Simulation(case, policy, chance, failing).run()
    statuses = simulation.statuses()
    ends = [fields for event, fields in simulation.events if event == "task_ended"]

    assert statuses == fates(simulation.needs, {name for name, _ in failing})
    assert [rank.ends for rank in simulation.ranks] == [1] * case[1]
    assert sorted(fields["task"] for fields in ends) == sorted(statuses)
    for fields in ends:
        if fields["status"] == "skipped":
            assert any(need in fields["message"] for need in simulation.needs[fields["task"]])


def test_dependents_of_dependents_are_skipped():
    """A task that needs a failed one only through another is skipped as well, and names the one it needs itself."""
    graph = graph_of(dict.fromkeys("abcd", (2, 1)), [("a", "b"), ("b", "c")])
    simulation = Simulation((graph, 2), failing={("a", 1): frozenset({0})}).run()

    assert simulation.statuses() == {"a": "failed", "b": "skipped", "c": "skipped", "d": "complete"}
    assert simulation.dispatcher.tasks["c"].message == "needs b, which was skipped"


@given(cases(), POLICY, CHANCE, st.data())
def test_a_task_is_tried_again_as_often_as_it_may(case, policy, chance, data):
    """A layer that fails a few times runs again, after the layers before it, until it works or may not any more."""
    graph, ranks = case
    retries, heals_after = data.draw(st.integers(0, 3)), data.draw(st.integers(1, 4))
    graph = TaskGraph(tuple(replace(task, retries=retries) for task in graph.tasks), graph.edges)
    task = data.draw(st.sampled_from(graph.tasks))
    layer = data.draw(st.integers(0, task.layers - 1))
    members = frozenset(range(task.min_ranks))
    simulation = Simulation((graph, ranks), policy, chance, {(task.name, layer): members}, heals_after).run()
    failing = {} if heals_after <= retries else {task.name}
    tries = layers_of(simulation)[task.name].count(layer)
    waits = [fields["wait"] for event, fields in simulation.events if event == "task_retried"]

    assert simulation.statuses() == fates(simulation.needs, failing)
    assert tries == min(heals_after, retries) + 1
    assert waits == [FIRST_BACK_OFF_SECONDS * 2**k for k in range(tries - 1)]


def test_a_task_that_waits_holds_nobody_up():
    """While one task waits to be tried again others run, and it does not start before its time."""
    graph = graph_of({"a": (1, 1), "b": (2, 1)})
    graph = TaskGraph(tuple(replace(task, retries=1) for task in graph.tasks), graph.edges)
    simulation = Simulation((graph, 1), "one_rank", failing={("a", 0): frozenset({0})}, heals_after=1)
    simulation.obey(simulation.dispatcher.start(0.0))
    assert simulation.started[-1].task == "b"  # the larger one
    simulation.run()
    retried = [fields for event, fields in simulation.events if event == "task_retried"]

    assert [fields["message"] for fields in retried] == ["boom"]
    assert simulation.statuses() == {"a": "complete", "b": "complete"}


@given(cases(), POLICY, CHANCE, st.integers(0, 12))
def test_a_stop_starts_nothing_more_and_ends(case, policy, chance, reports):
    """After a stop no rank gets a layer, each is told once, and the job ends when the running layers have."""
    simulation = Simulation(case, policy, chance, stop_after=reports).run()
    complete = all(status == "complete" for status in simulation.statuses().values())

    assert simulation.dispatcher.ended
    assert simulation.dispatcher.stopping or complete
    assert [rank.ends for rank in simulation.ranks] == [1] * case[1]
    assert {rank.stops for rank in simulation.ranks} <= {0, 1}
    assert set(simulation.statuses().values()) <= {None, "complete"}


@given(cases(), CHANCE)
def test_waves_have_a_barrier(case, chance):
    """With a plan of waves no layer starts before every task of every wave before has ended."""
    simulation = Simulation(case, "waves", chance).run()
    ended, waves = set(), {task.name: task.wave for task in simulation.plan.tasks}

    assert simulation.plan.barrier
    for event, fields in simulation.events:
        if event == "task_ended":
            ended.add(fields["task"])
        if event == "layer_started":
            assert {name for name in waves if waves[name] < waves[fields["task"]]} <= ended


@settings(max_examples=settings.default.max_examples // 2)
@given(cases(), POLICY, CHANCE, st.integers(0, 60), st.data())
def test_a_run_that_was_cut_off_anywhere_goes_on(case, policy, chance, stop_after, data):
    """A second attempt, on other ranks too, does exactly what the ledger up to any event does not say is done."""
    graph, ranks = case
    first = Simulation(case, policy, chance, stop_after=stop_after).run()
    kept = first.events[: data.draw(st.integers(0, len(first.events)))]
    again = (graph, max(ranks - data.draw(st.integers(0, 2)), *(task.min_ranks for task in graph.tasks)))
    second = Simulation(again, policy, chance, history=state_after(*kept).tasks).run()
    done = [(fields["task"], fields["layer"]) for event, fields in kept if event == "layer_ended"]
    ends = [fields["task"] for event, fields in kept if event == "task_ended"]
    ends += [fields["task"] for event, fields in second.events if event == "task_ended"]

    assert set(second.statuses().values()) == {"complete"}
    assert sorted(ends) == sorted(task.name for task in graph.tasks)  # each said once
    for task in graph.tasks:
        for layer in range(task.layers):
            assert ((task.name, layer) in done) + layers_of(second)[task.name].count(layer) == 1
    assert [rank.ends for rank in second.ranks] == [1] * again[1]


@pytest.mark.parametrize(("cut", "begun"), [(2, [1]), (4, []), (8, [4, 5, 6, 7])])
def test_other_layers_than_before(cut, begun):
    """A task that was cut into four, all done, is complete; cut otherwise its last layer at least has to say so."""
    started = [("layer_started", {"task": "t", "layer": k, "layers": 4, "first_rank": 0, "ranks": 1}) for k in range(4)]
    ended = [("layer_ended", {"task": "t", "layer": layer, "ranks": 1, "steps": 1, "rows": 1}) for layer in range(4)]
    history = state_after(*(each for pair in zip(started, ended, strict=True) for each in pair)).tasks
    simulation = Simulation((graph_of({"t": (cut, 1)}), 2), history=history).run()

    assert simulation.statuses() == {"t": "complete"}
    assert layers_of(simulation)["t"] == begun


@given(cases(), CHANCE)
def test_no_rank_idles_while_something_fits(case, chance):
    """Under `one_rank`, in order: when the dispatcher has spoken, no ready task would fit on adjacent free ranks."""

    class Watched(Simulation):
        def obey(self, orders):
            super().obey(orders)
            if self.dispatcher.ended:
                return
            states = self.dispatcher.tasks
            busy = {rank for state in states.values() if state.running for rank in state.running.group}
            holes = [len(list(run)) for taken, run in itertools.groupby(range(case[1]), busy.__contains__) if not taken]
            for name, state in states.items():
                ready = all(states[need].status == "complete" for need in self.needs[name])
                if state.status is None and state.running is None and ready:
                    assert state.plan.width > max(holes, default=0), name

    Watched(case, "one_rank", chance).run()


@given(cases(), CHANCE)
def test_sequential_runs_one_task_at_a_time(case, chance):
    """Narrow tasks too: no two tasks run side by side under `sequential`, and a ready task starts when none runs."""

    class Watched(Simulation):
        def obey(self, orders):
            super().obey(orders)
            states = self.dispatcher.tasks
            assert sum(state.running is not None for state in states.values()) == (not self.dispatcher.ended)

    assert set(Watched(case, "sequential", chance).run().statuses().values()) == {"complete"}


def test_a_group_stays_together_between_layers():
    """A task alone keeps its session: no Release before its last layer, after which its ranks close it themselves."""
    simulation = Simulation((graph_of({"a": (5, 2)}), 2))
    orders = []
    obey = simulation.obey
    simulation.obey = lambda new: (orders.extend(new := list(new)), obey(new))
    simulation.run()

    assert [type(order.command).__name__ for order in orders] == ["RunLayer"] * 5 + ["EndOfJob"]
    assert len({order.command.group[0] for order in orders if isinstance(order.command, RunLayer)}) == 1


def test_a_rank_that_fails_alone_is_hopeless_after_the_grace_alone():
    """While a group's other members may still come back there is no error; after the grace it names who and where."""
    simulation = Simulation((graph_of({"a": (1, 3)}), 3))
    simulation.obey(simulation.dispatcher.start(0.0))
    simulation.obey(simulation.dispatcher.handle(done(0, LayerOutcome(1, 1, 1.0, 1.0)), 90.0))
    simulation.obey(simulation.dispatcher.handle(failed(2, message="ZeroDivisionError: boom"), 100.0))
    simulation.dispatcher.check(100.0 + GRACE_SECONDS)

    assert not simulation.dispatcher.ended
    with pytest.raises(
        UnrecoverableError, match="rank 2 failed alone in task a, layer 0: ZeroDivisionError: boom; rank 1 cannot"
    ):
        simulation.dispatcher.check(100.0 + GRACE_SECONDS + 0.1)


def test_the_grace_counts_from_the_first_failure():
    """A second failure does not put the end off, and with the last report there is no more reason to end the run."""
    simulation = Simulation((graph_of({"a": (1, 3)}), 3))
    simulation.obey(simulation.dispatcher.start(0.0))
    simulation.dispatcher.handle(failed(0), 0.0)
    simulation.dispatcher.handle(failed(1), GRACE_SECONDS)

    with pytest.raises(UnrecoverableError, match="rank 2 cannot"):
        simulation.dispatcher.check(GRACE_SECONDS + 0.1)

    simulation.dispatcher.handle(failed(2), GRACE_SECONDS + 0.2)
    simulation.dispatcher.check(10 * GRACE_SECONDS)

    assert simulation.statuses() == {"a": "failed"}


def test_a_second_signal_says_nothing_new():
    """Signals come to many ranks at a time; only the first makes orders."""
    simulation = Simulation((graph_of({"a": (3, 2)}), 2))
    simulation.obey(simulation.dispatcher.start(0.0))
    first = simulation.dispatcher.handle(StopRequest(member=1, signal="SIGTERM"), 1.0)
    second = simulation.dispatcher.handle(StopRequest(member=0, signal="SIGTERM"), 1.1)

    assert [order.members for order in first] == [(0, 1)]
    assert second == []
    assert [fields for event, fields in simulation.events if event == "job_stopping"] == [
        {"reason": "rank 1 got SIGTERM"}
    ]


def test_progress_goes_to_the_observer_and_changes_nothing():
    """Reports of progress make no orders."""
    simulation = Simulation((graph_of({"a": (1, 1)}), 1))
    seen = []
    simulation.progressed = seen.append
    simulation.obey(simulation.dispatcher.start(0.0))
    progress = StepProgress("a", 0, 0, 0.5, 100.0, 0.25)

    assert simulation.dispatcher.handle(ProgressReport(progress), 1.0) == []
    assert seen == [progress]


def test_a_silent_layer_is_named_once():
    """A layer that says nothing for long is recorded with the ranks that owe a report; any word puts it off."""
    simulation = Simulation((graph_of({"a": (1, 3)}), 3))
    simulation.obey(simulation.dispatcher.start(0.0))
    simulation.dispatcher.handle(ProgressReport(StepProgress("a", 0, 0, None, 1.0, 0.5)), 100.0)
    simulation.dispatcher.check(LATE_SECONDS + 50)
    early = [fields for event, fields in simulation.events if event == "layer_late"]
    simulation.dispatcher.handle(done(1, group=(0, 1)), 200.0)
    for minute in range(10):
        simulation.dispatcher.check(LATE_SECONDS + 201 + 60 * minute)

    assert early == []
    assert [fields for event, fields in simulation.events if event == "layer_late"] == [
        {"task": "a", "layer": 0, "silent_ranks": (0, 2)}
    ]


def test_a_wide_group_that_fails_as_a_whole_is_tried_again():
    """A late report of the tree on a layer that its members have all called failed does not count for the next try."""
    graph = graph_of({"a": (1, 20)})
    node = replace(graph.tasks[0], retries=1, max_ranks=20)
    simulation = Simulation((TaskGraph((node,), ()), 20))
    simulation.obey(simulation.dispatcher.start(0.0))
    group = tuple(range(20))
    for rank in group:
        simulation.dispatcher.handle(failed(rank, group=group), 1.0)
    late = simulation.dispatcher.handle(done(0, group=group, finished=()), 1.1)
    again = simulation.dispatcher.check(10.0)
    late_again = simulation.dispatcher.handle(done(0, group=group, finished=()), 10.1)

    assert (late, late_again) == ([], [])
    assert [(order.members, order.command.layer) for order in again] == [(group, 0)]
    assert simulation.dispatcher.tasks["a"].running.reported == set()


def test_an_error_that_a_retry_would_hide_ends_the_task():
    """A failure that may not be retried fails the task at once, though it has retries left; the job goes on."""
    graph = graph_of({"a": (1, 2)})
    node = replace(graph.tasks[0], retries=3)
    simulation = Simulation((TaskGraph((node,), ()), 2))
    simulation.obey(simulation.dispatcher.start(0.0))
    for rank in (0, 1):
        simulation.dispatcher.handle(replace(failed(rank, group=(0, 1)), may_retry=False), 1.0)

    assert simulation.dispatcher.tasks["a"].status == "failed"
    assert [event for event, _ in simulation.events if event == "task_retried"] == []


@pytest.mark.parametrize(("begun", "losses"), [(True, 2), (False, 1)])
def test_a_node_whose_death_is_seen_in_two_steps_counts_once(begun, losses):
    """The second loss counts against the task if its layer had begun again, and not if the group was not made."""
    node = replace(graph_of({"a": (2, 2)}).tasks[0], max_ranks=4)
    simulation = Simulation((TaskGraph((node,), ()), 4))
    dispatcher = simulation.dispatcher
    orders, world = dispatcher.start(0.0), World.first(4)
    dead_ones = []
    for now, was_begun in ((1.0, True), (1.5, begun)):
        order = next(each for each in orders if isinstance(each.command, RunLayer))
        dead_ones.append(dead := order.members[-1])
        start, living = order.command.start_number, [member for member in order.members if member != dead]
        world = world.shrunk([rank for rank, member in enumerate(world.members) if member != dead])
        said = [SurvivorReport(member=member, start_number=start) for member in world.members]
        orders = lose(dispatcher, world, said, now)
        for member in living:
            report = LayerFailed(
                member=member,
                task="a",
                layer=0,
                message="a rank was lost",
                group=order.members,
                start_number=start,
                lost=True,
                begun=was_begun,
            )
            orders += dispatcher.handle(report, now + 0.1)
    restarts = [fields for event, fields in simulation.events if event == "layer_restarted"]

    assert dispatcher.tasks["a"].losses == losses
    assert [(event["lost"], not event["not_begun"]) for event in restarts] == [
        ((dead,), was_begun) for dead, was_begun in zip(dead_ones, (True, begun), strict=True)
    ]
    assert state_after(*simulation.events).task("a").losses == losses
