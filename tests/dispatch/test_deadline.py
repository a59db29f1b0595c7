"""Before a time limit nothing begins that would be lost, and the job stops by itself."""

import random
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st
from simulation import Simulation, cases, graph_of

from hpcmtl.dispatch.deadline import CAUTION, TimeLimit
from hpcmtl.taskgraph.graph import TaskGraph


def with_kinds(graph, kinds):
    """The graph with other kinds of tasks."""
    nodes = tuple(replace(task, kind=kinds.get(task.name, task.kind)) for task in graph.tasks)
    return TaskGraph(nodes, graph.edges)


@given(cases(), st.sampled_from(["variable", "waves", "sequential"]), st.integers(0, 2**32), st.data())
def test_nothing_begins_that_would_be_lost(case, policy, seed, data):
    """Layers that cannot stop begin only if they are likely to end in time; the job stops, or ends, whatever it is."""
    graph, ranks = case
    kinds = {task.name: "python" for task in graph.tasks if data.draw(st.booleans())}
    limit = TimeLimit(0.0, data.draw(st.floats(0.1, 20)))
    begun = []

    class Watched(Simulation):
        def record(self, event, **fields):
            super().record(event, **fields)
            if event == "layer_started":
                outcomes = self.dispatcher.tasks[fields["task"]].outcomes
                begun.append((fields["task"], self.now, outcomes[-1][1].seconds if outcomes else 0.0))

    simulation = Watched((with_kinds(graph, kinds), ranks), policy, random.Random(seed), seconds_left=limit.end).run()
    reasons = [fields["reason"] for event, fields in simulation.events if event == "stopping"]

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
    reasons = [fields["reason"] for event, fields in simulation.events if event == "stopping"]

    assert simulation.statuses() == {"long": None, "short": "complete", "after": None}
    assert len(reasons) == 1
    assert reasons[0].endswith("s that are left no layer can end of long")


def test_the_job_stops_by_itself_before_its_limit():
    """Some time before the limit, a tenth of a short job or half a minute, all layers are told to stop."""
    assert TimeLimit(0.0, 100.0).stop_at == 90
    assert TimeLimit(50.0, 7250.0).stop_at == 7220
