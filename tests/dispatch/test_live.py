"""Tasks joined by a live edge run side by side where ranks allow it, one after the other where not, and always end."""

import random
from types import SimpleNamespace

from hypothesis import given, settings
from hypothesis import strategies as st
from simulation import Simulation, cases, graph_of

from hpcmtl.dispatch.protocol import RunLayer

CHANCE = st.integers(0, 2**32).map(random.Random)


@st.composite
def live_cases(draw):
    """A random graph some of whose edges are live, and layers that are given up when they run for the first time."""
    graph, ranks = draw(cases())
    pairs = [(edge.producer, edge.consumer) for edge in graph.edges]
    live = draw(st.sets(st.sampled_from(pairs))) if pairs else set()
    graph = graph_of({task.name: (task.layers, task.min_ranks) for task in graph.tasks}, pairs, live)
    consumers = [(name, layer) for name in graph.live for layer in range(graph.task(name).layers)]
    yielding = draw(st.sets(st.sampled_from(consumers))) if consumers else set()
    return (graph, ranks), yielding


@settings(max_examples=settings.default.max_examples // 5)
@given(live_cases(), CHANCE)
def test_every_job_ends(case, chance):
    """No task waits for ever, none begins before what it runs beside, and all layers are run to their end in order."""
    case, yielding = case
    given_up = set(yielding)
    simulation = Simulation(case, "variable", chance, yielding=yielding).run()
    started = {task.name: [c.layer for c in simulation.started if c.task == task.name] for task in case[0].tasks}

    assert set(simulation.statuses().values()) == {"complete"}
    for task in case[0].tasks:
        twice = [layer for name, layer in given_up if name == task.name]
        assert started[task.name] == sorted([*range(task.layers), *twice])


@settings(max_examples=settings.default.max_examples // 5)
@given(live_cases(), CHANCE, st.data())
def test_who_ran_beside_a_task_that_fails_is_skipped(case, chance, data):
    """It may have completed before; else it is skipped, though it had begun, and holds no ranks at the end."""
    (graph, ranks), _ = case
    failing = data.draw(st.sampled_from(graph.tasks))
    simulation = Simulation((graph, ranks), "variable", chance, {(failing.name, 0): frozenset({0})}).run()
    statuses = simulation.statuses()

    assert statuses[failing.name] == "failed"
    for task in graph.tasks:
        lost = [need for need in graph.producers(task.name) if statuses[need] != "complete"]
        if lost and not set(lost) <= graph.live.get(task.name, frozenset()):
            assert statuses[task.name] in {"skipped", "failed"}
        elif not lost and task is not failing:
            assert statuses[task.name] == "complete"


def starts(simulation):
    """Task and layer of each start."""
    return [(command.task, command.layer) for command in simulation.started]


def test_side_by_side_or_one_after_the_other():
    """With ranks for both they begin by the same order; on one rank the consumer begins when its producer is done."""
    for names in ("ab", "ba"):  # whichever comes first by name
        tasks, edge = dict.fromkeys(names, (3, 1)), [(names[0], names[1])]
        beside = Simulation((graph_of(tasks, edge, edge), 2))
        beside.obey(beside.dispatcher.start(0.0))
        alone = Simulation((graph_of(tasks, edge, edge), 1)).run()

        assert starts(beside) == [(names[0], 0), (names[1], 0)]
        assert starts(alone) == [(name, layer) for name in names for layer in range(3)]


def test_a_chain_of_live_edges():
    """Each begins with the one before it, all after what the first needs; their plan starts none of them earlier."""
    tasks = dict.fromkeys("xabc", (2, 1))
    edges = [("x", "a"), ("a", "b"), ("b", "c")]
    graph = graph_of(tasks, edges, edges[1:])
    simulation = Simulation((graph, 3)).run()

    assert starts(simulation)[:5] == [("x", 0), ("x", 1), ("a", 0), ("b", 0), ("c", 0)]
    assert graph.producers("c") == ("b",)
    assert {graph.names[p] for p, _ in graph.levels.edges} == {"x"}


def test_news_tell_of_decisions_as_a_whole():
    """A task whose next layer starts at once never seems to pause, and news come before the orders."""
    told = []
    simulation = Simulation((graph_of({"a": (3, 1), "b": (1, 1)}, [("a", "b")]), 1))
    simulation.coordinator.subscribe(SimpleNamespace(announce=lambda *news: told.append(news)))
    obey = simulation.obey

    def check(orders):
        for order in (orders := list(orders)):
            assert not isinstance(order.command, RunLayer) or order.command.task in told[-1][0]
        obey(orders)

    simulation.obey = check
    obey(simulation.coordinator.start(0.0))
    for _ in range(4):
        simulation.end_layer(0)

    assert told == [
        *[(["a"], {})] * 3,
        (["b"], {"a": "complete"}),
        ([], {"a": "complete", "b": "complete"}),
    ]
