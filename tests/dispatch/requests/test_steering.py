"""Whatever people ask of a running job, whenever, it ends right; see also `simulation`."""

import random
from dataclasses import dataclass, field, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from simulation import Simulation, cases, graph_of

from hpcmtl.dispatch.coordinator.ageing import SHORTEST_SECONDS
from hpcmtl.dispatch.coordinator.task_source import ExtendedJob
from hpcmtl.dispatch.protocol import ExtendJob, SetRate, StopLayer, StopRequest
from hpcmtl.dispatch.requests.steering import extend, steer
from hpcmtl.layerplan.solve.policies import make_plan
from hpcmtl.results.rundir.requests import Request
from hpcmtl.taskgraph.graph import TaskGraph

POLICY = st.sampled_from(["variable", "fixed", "waves", "sequential", "one_rank"])
CHANCE = st.integers(0, 2**32).map(random.Random)
MOST_REQUESTS = 25


def ask(verb, task, **values):
    """A request."""
    return Request("id", verb, "me@here", task, values)


def part_of(graph, names):
    """The graph of some tasks and the edges between them."""
    edges = tuple(edge for edge in graph.edges if {edge.producer, edge.consumer} <= names)
    return TaskGraph(tuple(task for task in graph.tasks if task.name in names), edges)


class Expecting:
    """A task source of a simulation that adds its tasks itself; it only keeps the job from ending before."""

    def __init__(self, simulation):
        self._simulation = simulation

    @property
    def exhausted(self):
        """See `TaskSource`."""
        return not self._simulation.coming

    def poll(self, now):
        """See `TaskSource`."""

    def on_event(self, event):
        """See `TaskSource`."""


@dataclass
class Steered(Simulation):
    """A job that grows to `whole` while somebody asks things at random.

    Attributes:
        whole: all tasks in the end.
        requests: that are left to be made.
        cancelled: tasks whose end somebody wanted.
        pace: seconds between two reports, at most.
    """

    whole: TaskGraph = field(default_factory=lambda: TaskGraph((), ()))
    requests: int = MOST_REQUESTS
    cancelled: set[str] = field(default_factory=set)
    pace: float = 1.0

    def __post_init__(self):
        self.coming, self.sources = [], [Expecting(self)]
        super().__post_init__()
        self.needs = {name: self.whole.producers(name) for name in self.whole.names}
        self.coming = [name for name in self.whole.names if name not in self.dispatcher.tasks]
        self.known = dict.fromkeys(range(len(self.ranks)), frozenset(self.dispatcher.tasks))

    def meddle(self):
        self.now += self.chance.random() * self.pace
        idle = not any(rank.inside for rank in self.ranks)
        if self.requests and (idle or self.chance.random() < 0.4):
            self.requests -= 1
            if self.coming and self.chance.random() < 0.3:
                self.add(self.chance.randint(1, len(self.coming)))
            else:
                verb = self.chance.choice(["pause", "pause", "unpause", "set", "set", "cancel"])
                self.ask(verb, self.chance.choice(list(self.dispatcher.tasks)))
        elif idle and not self.requests:
            self.add(len(self.coming))
            for name in list(self.dispatcher.tasks):
                self.ask("unpause", name)

    def ask(self, verb, task):
        """Ask something and note what counts."""
        values = {"priority": self.chance.randint(-2, 2), "learning_rate": 0.5} if verb == "set" else {}
        answer, orders = steer(self.dispatcher, ask(verb, task, **values), self.now)
        if answer.accepted and verb == "cancel":
            self.cancelled.add(task)
        assert answer.accepted or not orders
        self.obey(orders)

    def add(self, count):
        """Let the job have so many tasks more; who needs one that was refused does not come."""
        new = self.coming[:count]
        names = set(self.dispatcher.tasks)
        for name in new:
            names |= {name} if set(self.needs[name]) <= names else set()
        if names > set(self.dispatcher.tasks):
            graph = part_of(self.whole, names)
            plan = make_plan(graph, len(self.ranks), self.policy)
            extension = ExtendJob(job=names, files={}, arrays={}, folder="")
            answer, orders = extend(self.dispatcher, ExtendedJob(plan=plan, graph=graph, extension=extension), self.now)
            assert answer.accepted or " needs " in answer.message or self.dispatcher.stopping, answer
            self.obey(orders)
        self.coming = self.coming[count:]
        if not self.coming:
            self.obey(self.dispatcher.go_on(self.now))

    def obey(self, orders):
        orders = list(orders)
        for order in orders:
            if isinstance(order.command, ExtendJob):
                self.known.update(dict.fromkeys(order.members, frozenset(order.command.job)))
        super().obey(orders)
        for number, rank in enumerate(self.ranks):
            assert rank.inside is None or rank.inside.task in self.known[number]


def fates(simulation, failing):
    """Status of each task that came, worked out from what happened to it and from the graph alone."""
    fate = {}
    for name in simulation.dispatcher.tasks:  # in topological order
        lost = any(fate[need] != "complete" for need in simulation.needs[name])
        own = "failed" if name in failing else "complete"
        fate[name] = "cancelled" if name in simulation.cancelled else "skipped" if lost else own
    return fate


@st.composite
def steered(draw):
    """A job with priorities, failures and retries, of which a part is there from the start."""
    graph, ranks = draw(cases())
    retries, heals = draw(st.integers(0, 2)), draw(st.integers(1, 3))
    tasks = tuple(replace(task, retries=retries, priority=draw(st.integers(-1, 1))) for task in graph.tasks)
    whole = TaskGraph(tasks, graph.edges)
    there = set()
    for name in whole.names:
        if set(whole.producers(name)) <= there and (not there or draw(st.booleans())):
            there.add(name)
    sick = draw(st.lists(st.sampled_from(whole.tasks), max_size=2, unique=True))
    failing = {(task.name, draw(st.integers(0, task.layers - 1))): frozenset(range(task.min_ranks)) for task in sick}
    return Steered(
        (part_of(whole, there), ranks),
        draw(POLICY),
        draw(CHANCE),
        failing,
        heals,
        whole=whole,
        pace=draw(st.sampled_from([0.1, SHORTEST_SECONDS])),
    )


@settings(max_examples=settings.default.max_examples // 2)
@given(steered())
def test_a_steered_job_ends_right(simulation):
    """Every task has the end that it should, no layer is done twice, no rank does two things, and the job ends."""
    simulation.run()
    graph = simulation.whole
    failing = {name for name, _ in simulation.failing if simulation.heals_after > graph.task(name).retries}
    ended = [(told["task"], told["layer"]) for event, told in simulation.events if event == "layer_ended"]
    statuses = simulation.statuses()

    assert simulation.dispatcher.ended
    assert simulation.coming == [], "the job ended while more tasks were expected"
    assert statuses == fates(simulation, failing)
    assert len(ended) == len(set(ended))
    for name, status in statuses.items():
        done = [layer for task, layer in ended if task == name]
        assert done == list(range(len(done)))
        assert status != "complete" or len(done) == graph.task(name).layers
        assert status != "skipped" or not done
    assert [rank.ends for rank in simulation.ranks] == [1] * len(simulation.ranks)


@settings(max_examples=settings.default.max_examples // 2)
@given(steered(), st.integers(0, 15))
def test_a_steered_job_stops_when_it_is_told(simulation, reports):
    """A stop ends the job whatever is paused or on its way, and nothing is asked of it any more."""
    simulation.stop_after = reports
    simulation.run()

    assert simulation.dispatcher.ended
    assert [rank.ends for rank in simulation.ranks] == [1] * len(simulation.ranks)
    assert not steer(simulation.dispatcher, ask("unpause", "t0"), 0.0)[0].accepted


def begun(tasks, edges=(), ranks=2, policy="variable"):
    """A simulation whose first layers run."""
    simulation = Simulation((graph_of(tasks, edges), ranks), policy)
    simulation.obey(simulation.dispatcher.start(0.0))
    return simulation


def said(simulation, verb, task, **values):
    """The answer to a request, which the ranks have obeyed."""
    answer, orders = steer(simulation.dispatcher, ask(verb, task, **values), 1.0)
    simulation.obey(orders)
    return answer, [order.command for order in orders]


def test_a_pause_gives_the_ranks_away():
    """A paused layer is told once to stop; its ranks go to another task, and after that only a word lets it go on."""
    simulation = begun({"a": (4, 2), "b": (1, 2)})
    first, orders = said(simulation, "pause", "a")
    again, none = said(simulation, "pause", "a")
    simulation.chance = random.Random(1)  # which stops before the end of the layer
    for number in (0, 1, 0, 1):
        simulation.end_layer(number)
    held = [rank.held for rank in simulation.ranks]
    waiting = [told["tasks"] for event, told in simulation.events if event == "job_paused"]

    assert first.accepted
    assert orders == [StopLayer()]
    assert (again.accepted, again.message, none) == (False, "task a is paused already", [])
    assert simulation.statuses() == {"a": None, "b": "complete"}
    assert waiting == [("a",)]
    assert held == [None, None]
    assert said(simulation, "unpause", "a")[0].accepted
    assert set(simulation.run().statuses().values()) == {"complete"}


def test_a_cancelled_task_takes_its_dependents():
    """A task that needs it is skipped and named, others go on, and it runs no further layer."""
    simulation = begun({"a": (4, 2), "b": (1, 1), "c": (1, 1), "d": (1, 1)}, [("a", "b"), ("b", "c")])
    said(simulation, "cancel", "a")
    refused = said(simulation, "unpause", "a")[0]
    simulation.run()

    assert refused.message == "task a is being cancelled"
    assert simulation.statuses() == {"a": "cancelled", "b": "skipped", "c": "skipped", "d": "complete"}
    assert simulation.dispatcher.tasks["b"].message == "needs a, which was cancelled"
    assert [command.task for command in simulation.started].count("a") == 1


def test_a_whole_job_is_cancelled():
    """Without a task the job stops as by a signal, whatever is paused, and the ledger says who wanted it."""
    simulation = begun({"a": (4, 1), "b": (4, 1), "c": (1, 2)})
    said(simulation, "pause", "b")
    answer = said(simulation, "cancel", "")[0]
    refused = said(simulation, "cancel", "")[0]
    simulation.run()

    assert answer.accepted
    assert [told["reason"] for event, told in simulation.events if event == "job_stopping"] == [
        "me@here cancelled the job"
    ]
    assert (refused.accepted, "stopping" in refused.message or "ended" in refused.message) == (False, True)
    assert set(simulation.statuses().values()) <= {None, "complete"}
    assert simulation.dispatcher.ended
    assert [rank.ends for rank in simulation.ranks] == [1, 1]


def test_rates_are_numbered():
    """Each learning rate goes to the ranks of the running layer with its number, and with the layers that come."""
    simulation = begun({"a": (2, 2)})
    sent = [said(simulation, "set", "a", learning_rate=rate)[1] for rate in (0.5, 0.25)]
    simulation.run()

    assert [[(type(each), each.rate.number, each.rate.learning_rate) for each in orders] for orders in sent] == [
        [(SetRate, 1, 0.5)],
        [(SetRate, 2, 0.25)],
    ]
    assert [command.rate and command.rate.learning_rate for command in simulation.started] == [None, 0.25]


@pytest.mark.parametrize(
    ("verb", "task", "values", "message"),
    [
        ("puase", "a", {}, "there is no request 'puase'; did you mean 'pause'?"),
        ("pause", "aa", {}, "there is no task 'aa'; did you mean 'a'?"),
        ("unpause", "a", {}, "task a is not paused"),
        ("set", "a", {}, "`set` takes priority=N and learning_rate=X, found nothing"),
        ("set", "a", {"priority": 1.5}, "priority is a whole number, found 1.5"),
        (
            "set",
            "a",
            {"priority": 2**63 - 1},
            "priority is a number from -1000000000 to 1000000000, found 9223372036854775807",
        ),
        ("set", "a", {"learning_rate": float("nan")}, "learning_rate is a number above 0, found nan"),
        ("set", "a", {"epochs": 3}, "`set` takes priority=N and learning_rate=X, found epochs"),
    ],
)
def test_what_cannot_be_is_refused(verb, task, values, message):
    """A request that makes no sense changes nothing and says why."""
    simulation = begun({"a": (2, 2)})
    before = replace(simulation.dispatcher.tasks["a"])
    answer, orders = said(simulation, verb, task, **values)

    assert (answer.accepted, answer.message, orders) == (False, message, [])
    assert simulation.dispatcher.tasks["a"] == before


def test_a_higher_class_goes_between_two_layers():
    """On a full machine a task whose priority is raised takes the ranks at the next boundary; the other one resumes."""
    for policy in ("variable", "sequential", "one_rank"):
        simulation = begun({"a": (6, 2), "b": (1, 2)}, policy=policy)
        low, high = ("a", "b") if simulation.started[0].task == "a" else ("b", "a")
        said(simulation, "set", high, priority=1)
        simulation.run()
        order = [command.task for command in simulation.started]

        if low == "a":
            assert order == ["a", "b", *["a"] * 5], policy


def test_waiting_raises_the_class():
    """A task behind endless layers of a higher class gets its turn after it has waited for two classes."""
    for policy in ("variable", "sequential"):
        graph = graph_of({"high": (40, 2), "low": (1, 2)})
        tasks = tuple(replace(task, priority=int(task.name == "high")) for task in graph.tasks)
        simulation = Simulation((TaskGraph(tasks, ()), 2), policy)
        simulation.obey(simulation.dispatcher.start(0.0))
        turns = 0
        while simulation.started[-1].task == "high":
            simulation.now += 10.0
            turns += 1
            simulation.end_layer(0)
            simulation.end_layer(1)

        assert simulation.started[-1].task == "low"
        assert 2 * SHORTEST_SECONDS <= 10.0 * turns <= 2 * SHORTEST_SECONDS + 10.0, policy


def test_nobody_ages_in_one_class():
    """Where all priorities are the same the planner's order holds, however long somebody waits."""
    simulation = begun({"a": (30, 2), "b": (1, 2)}, policy="sequential")
    simulation.pace = 0.0
    simulation.now = 1e6
    simulation.end_layer(0)
    simulation.end_layer(1)

    assert {state.aged for state in simulation.dispatcher.tasks.values()} == {0}


def test_a_stop_finds_the_paused():
    """A job of paused tasks alone ends at a signal."""
    simulation = begun({"a": (4, 2)})
    said(simulation, "pause", "a")
    for number in (0, 1):
        simulation.end_layer(number)

    assert not simulation.dispatcher.ended
    assert [rank.held for rank in simulation.ranks] == [None, None]

    simulation.obey(simulation.dispatcher.handle(StopRequest(member=0, signal="SIGTERM"), 2.0))

    assert simulation.dispatcher.ended
