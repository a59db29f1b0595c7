"""Ranks that obey a `Dispatcher` as a `Worker` does, with made-up durations and failures, and see broken rules."""

from __future__ import annotations

import itertools
import math
import random
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from hypothesis import strategies as st

from hpcmtl.dispatch.coordinator.coordinator import Coordinator
from hpcmtl.dispatch.coordinator.dispatcher import Dispatcher
from hpcmtl.dispatch.coordinator.task_source import TaskSources
from hpcmtl.dispatch.protocol import (
    EndOfJob,
    LayerDone,
    LayerFailed,
    Release,
    RunLayer,
    StopLayer,
    StopRequest,
    StopTraining,
)
from hpcmtl.dispatch.scheduling.deadline import TimeLimit
from hpcmtl.dispatch.scheduling.select import scheduler_for
from hpcmtl.jobfile.kind_facts import KindFacts
from hpcmtl.jobfile.work import Work
from hpcmtl.layerplan.solve.policies import make_plan
from hpcmtl.results.event_format import to_fields
from hpcmtl.taskgraph.graph import Edge, RankRules, TaskGraph, TaskNode
from hpcmtl.training.session import LayerOutcome

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from hpcmtl.dispatch.coordinator.state import Order
    from hpcmtl.dispatch.coordinator.task_source import TaskSource
    from hpcmtl.results.events import RunEvent
    from hpcmtl.results.history import TaskHistory

Case = tuple[TaskGraph, int]
NEVER = -1


def graph_of(
    tasks: Mapping[str, tuple[int, int]],
    edges: Iterable[tuple[str, str]] = (),
    live: Iterable[tuple[str, str]] = (),
    rules: Mapping[str, RankRules] = MappingProxyType({}),
) -> TaskGraph:
    """A graph of tasks that have so many layers and at least so many ranks; `live` are those of the edges."""
    work = Work(1000, 2, 64, 1024, 100_000, trains=True)
    nodes = tuple(
        TaskNode(
            name=name,
            kind="train",
            priority=0,
            min_ranks=ranks,
            max_ranks=max(ranks, 8),
            input_bytes=work.input_bytes,
            layers=layers,
            work=work,
            rules=rules.get(name, RankRules()),
            facts=KindFacts(has_learning_rate=True, stops_at_steps=True),
        )
        for name, (layers, ranks) in tasks.items()
    )
    return TaskGraph(nodes, tuple(Edge(*edge, "order", edge in set(live)) for edge in edges))


@st.composite
def cases(draw: Any, most: int = 10, ranks: int = 6) -> Case:
    """A random graph, and a number of ranks that is enough for it."""
    names = [f"t{i}" for i in range(draw(st.integers(1, most)))]
    tasks = {name: (draw(st.integers(1, 4)), draw(st.integers(1, 4))) for name in names}
    pairs = list(itertools.combinations(names, 2))
    edges = draw(st.lists(st.sampled_from(pairs), max_size=2 * most, unique=True)) if pairs else []
    return graph_of(tasks, edges), draw(st.integers(max(least for _, least in tasks.values()), ranks))


@dataclass
class Rank:
    """The present work of one simulated rank."""

    inside: RunLayer | None = None
    held: tuple[str, int, int] | None = None
    ends: int = 0
    stops: int = 0
    halted: bool = False


@dataclass
class Simulation:
    """A job on simulated ranks.

    Attributes:
        case: graph and ranks.
        policy: of the plan.
        chance: decides which report comes next, and when.
        failing: (task, layer) -> places in the group that raise; the other members end the layer well.
        heals_after: failures after which such a layer no longer raises.
        stop_after: reports after which a rank asks for a stop.
        history: as `Dispatcher` takes it.
        seconds_left: until the time limit; None without one.
        sources: task sources of the job.
        yielding: (task, layer) that is stopped when it runs for the first time, as its task waits for another.
    """

    case: Case
    policy: str = "variable"
    chance: random.Random = field(default_factory=lambda: random.Random(0))
    failing: Mapping[tuple[str, int], frozenset[int]] = field(default_factory=dict)
    heals_after: float = math.inf
    stop_after: int = NEVER
    history: Mapping[str, TaskHistory] = field(default_factory=dict)
    seconds_left: float | None = None
    sources: Iterable[TaskSource] = ()
    yielding: set[tuple[str, int]] = field(default_factory=set)
    started: list[RunLayer] = field(default_factory=list)
    events: list[tuple[str, dict[str, Any]]] = field(default_factory=list)

    def __post_init__(self) -> None:
        graph, ranks = self.case
        self.needs = {name: graph.producers(name) for name in graph.names}
        self.plan = make_plan(graph, ranks, self.policy)
        self.ranks = [Rank() for _ in range(ranks)]
        limit = None if self.seconds_left is None else TimeLimit(0.0, self.seconds_left)
        scheduler = scheduler_for(graph, self.plan, limit=limit)
        self.dispatcher = Dispatcher(
            self.plan, graph, self, scheduler, history=self.history, sources=TaskSources(tuple(self.sources))
        )
        self.now = 0.0
        self.coordinator = Coordinator(self.dispatcher, limit=limit)
        self._stopped: dict[RunLayer, bool] = {}

    def record(self, event: RunEvent) -> None:
        """See `Observer`."""
        self.events.append((event.name, to_fields(event)))

    def progressed(self, progress: Any) -> None:
        """See `Observer`; nobody reports progress here."""

    def add_points(self, points: Any) -> None:
        """See `Observer`; nobody measures anything here."""

    def statuses(self) -> dict[str, str | None]:
        """Status of each task."""
        return {name: state.status for name, state in self.dispatcher.tasks.items()}

    def run(self) -> Simulation:
        """Report in random order until no rank has anything to report."""
        self.obey(self.coordinator.start(self.now))
        for count in itertools.count():
            self.meddle()
            busy = [number for number, rank in enumerate(self.ranks) if rank.inside]
            if count == self.stop_after:
                asking = StopRequest(member=self.chance.randrange(len(self.ranks)), signal="SIGTERM")
                self.obey(self.coordinator.handle(asking, self.now))
            elif busy:
                self.now += self.chance.random()
                self.end_layer(self.chance.choice(busy))
            elif not self.dispatcher.ended:  # a task waits to be tried again
                self.now += 1.0
                self.obey(self.coordinator.check(self.now))
            else:
                return self
        raise AssertionError

    def meddle(self) -> None:
        """Acts from outside before the next report; here not at all."""

    def end_layer(self, number: int) -> None:
        """Let one member report on the layer that it is in."""
        rank = self.ranks[number]
        command, rank.inside = rank.inside, None
        assert command is not None
        failing = self.failing.get((command.task, command.layer), frozenset())
        if self.dispatcher.tasks[command.task].failed >= self.heals_after:
            failing = frozenset()
        # The members agree on whether they stop before the end of the layer.
        stopped = self._stopped.setdefault(command, (rank.stops > 0 or rank.halted) and self.chance.random() < 0.5)
        stopped = stopped or (command.task, command.layer) in self.yielding
        said: dict[str, Any] = {"member": number, "task": command.task, "layer": command.layer}
        said |= {"group": command.group, "start_number": command.start_number}
        if number - command.group[0] in failing:
            report: Any = LayerFailed(**said, message="boom", traceback="Traceback: boom")
        else:
            outcome = LayerOutcome(1, 1, 1.0, 1.0, stopped=stopped, reached=command.layer + 1)
            mine = outcome if number == command.group[0] else None
            report = LayerDone(**said, outcome=mine, finished=(number,))
            if command.layer == command.layers - 1 and not stopped:
                rank.held = None
        orders = self.coordinator.handle(report, self.now)
        state = self.dispatcher.tasks[command.task]
        if state.running is None or state.running.layer != command.layer or not state.running.reported:
            self.yielding.discard((command.task, command.layer))
        self.obey(orders)

    def obey(self, orders: Iterable[Order]) -> None:
        """Take commands in, as the ranks would, and check what a rank can check."""
        for number, command in [(number, order.command) for order in orders for number in order.members]:
            rank = self.ranks[number]
            assert not rank.ends, f"rank {number} gets {command} after the end"
            if isinstance(command, RunLayer):
                self._begin(number, command)
            elif isinstance(command, Release):
                assert rank.inside is None, f"rank {number} gets {command} while it runs {rank.inside}"
                if rank.held is not None and rank.held[0] == command.task:
                    rank.held = None
            elif isinstance(command, StopLayer):
                rank.halted = True
            elif isinstance(command, StopTraining):
                rank.stops += 1
            elif isinstance(command, EndOfJob):
                assert rank.held is None, f"rank {number} still holds {rank.held} at the end"
                rank.ends += 1

    def _begin(self, number: int, command: RunLayer) -> None:
        rank = self.ranks[number]
        session = (command.task, command.group[0], len(command.group))
        live, tasks = self.case[0].live.get(command.task, ()), self.dispatcher.tasks
        unmet = [
            need
            for need in self.needs[command.task]
            if tasks[need].status != "complete" and not (need in live and tasks[need].running)
        ]
        assert rank.inside is None, f"rank {number} gets {command} while it runs {rank.inside}"
        assert rank.held in (None, session), f"rank {number} gets {command} while it holds {rank.held}"
        assert not rank.stops, f"rank {number} gets {command} after it was told to stop"
        assert not unmet, f"{command.task} starts before {unmet}"
        rank.inside, rank.held, rank.halted = command, session, False
        if number == command.group[0]:
            self._stopped.pop(command, None)  # a layer that was stopped runs again
            self.started.append(command)
