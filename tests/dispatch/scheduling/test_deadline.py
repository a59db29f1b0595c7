"""Before a time limit nothing begins that would be lost, and the job stops by itself."""

import random
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from simulation import Simulation, cases, graph_of

from hpcmtl.dispatch.scheduling.deadline import CAUTION, RESERVE_SHARE, TimeLimit
from hpcmtl.jobfile.kind_facts import NO_FACTS
from hpcmtl.taskgraph.graph import TaskGraph
from hpcmtl.training.session import LayerOutcome


def with_kinds(graph, kinds):
    """The graph with other kinds of tasks."""
    nodes = []
    for task in graph.tasks:
        kind = kinds.get(task.name)
        work = replace(task.work, trains=False, opaque=kind == "python")
        nodes.append(task if kind is None else replace(task, kind=kind, work=work, facts=NO_FACTS))
    return TaskGraph(tuple(nodes), graph.edges)


@given(cases(), st.sampled_from(["variable", "waves", "sequential"]), st.integers(0, 2**32), st.data())
def test_nothing_begins_that_would_be_lost(case, policy, seed, data):
    """Layers that cannot stop begin only if they are likely to end in time; the job stops, or ends, whatever it is."""
    graph, ranks = case
    kinds = {task.name: "python" for task in graph.tasks if data.draw(st.booleans())}
    limit = TimeLimit(0.0, data.draw(st.floats(0.1, 20)))
    begun = []

    class Watched(Simulation):
        def record(self, event):
            super().record(event)
            if event.name == "layer_started":
                outcomes = self.dispatcher.tasks[event.task].outcomes
                before = [outcome.seconds for ranks, outcome in outcomes[-1:] if ranks >= event.ranks]
                begun.append((event.task, self.now, sum(before)))

    simulation = Watched((with_kinds(graph, kinds), ranks), policy, random.Random(seed), seconds_left=limit.end).run()
    reasons = [fields["reason"] for event, fields in simulation.events if event == "job_stopping"]

    for task, at, seconds in begun:
        assert at < limit.stop_at
        assert task not in kinds or at + CAUTION * seconds <= limit.stop_at
    assert len(reasons) <= 1
    assert reasons or set(simulation.statuses().values()) == {"complete"}
    assert [rank.ends for rank in simulation.ranks] == [1] * ranks


def test_what_fits_goes_first():
    """Of two tasks that cannot stop the long one is left, what needs it waits for the next attempt, and all is said."""
    graph = with_kinds(
        graph_of({"long": (1, 1), "short": (2, 1), "after": (1, 1)}, [("long", "after")]),
        {"long": "python", "short": "extract"},
    )
    simulation = Simulation((graph, 2), "sequential", seconds_left=100.0)
    tasks = simulation.dispatcher.tasks
    tasks["long"].plan = replace(tasks["long"].plan, start=0.0, end=95.0)
    simulation.run()
    reasons = [fields["reason"] for event, fields in simulation.events if event == "job_stopping"]

    assert simulation.statuses() == {"long": None, "short": "complete", "after": None}
    assert len(reasons) == 1
    assert reasons[0].endswith("s that are left no layer can end of long")


@pytest.mark.parametrize(("part", "expected"), [(1.01, 1), (0.8, 2), (0.72, 3), (0.3, None)])
def test_more_ranks_where_time_presses(part, expected):
    """A layer that would end too late on the one rank that was planned runs on more, or not at all."""
    graph = with_kinds(graph_of({"other": (4, 1), "pressed": (1, 1)}), {"pressed": "predict"})
    plan = Simulation((graph, 4)).dispatcher.tasks["pressed"].plan
    left = part * CAUTION * (plan.end - plan.start)
    simulation = Simulation((graph, 4), seconds_left=left / (1 - RESERVE_SHARE)).run()

    assert plan.width == 1
    assert [len(each.group) for each in simulation.started if each.task == "pressed"] == (
        [expected] if expected else []
    )


def test_a_width_of_other_days_is_no_measure():
    """A layer that ran on more ranks than there are now is held back where time presses, not planned by that width."""
    graph = with_kinds(graph_of({"other": (4, 1), "pressed": (2, 1)}), {"pressed": "predict"})
    simulation = Simulation((graph, 3), seconds_left=100.0)
    state = simulation.dispatcher.tasks["pressed"]
    state.layers_done, state.outcomes = 1, [(4, LayerOutcome(10, 1.0, 10.0, 100.0))]
    simulation.coordinator.start(0.0)

    assert state.no_time
    assert state.running is None


def test_a_pressed_layer_waits_for_ranks_enough():
    """A layer that needs more ranks to end in time does not start on fewer, though these are free."""
    graph = with_kinds(graph_of({"other": (1, 2), "pressed": (1, 1)}), {"pressed": "predict"})
    plan = Simulation((graph, 3)).dispatcher.tasks["pressed"].plan
    left = 0.96 * CAUTION * (plan.end - plan.start)
    simulation = Simulation((graph, 3), seconds_left=left / (1 - RESERVE_SHARE)).run()

    assert plan.width == 1
    assert {len(each.group) for each in simulation.started if each.task == "pressed"} <= {2, 3}


def test_the_job_stops_by_itself_before_its_limit():
    """Some time before the limit, a tenth of a short job or half a minute, all layers are told to stop."""
    assert TimeLimit(0.0, 100.0).stop_at == 90
    assert TimeLimit(50.0, 7250.0).stop_at == 7220
