"""The state of a running job on rank 0: its tasks, the layers that run, and the seams to observer and scheduler."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Protocol

from hpcmtl.dispatch.protocol import RunLayer

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from hpcmtl.dispatch.coordinator.running import Running
    from hpcmtl.dispatch.membership.world import Members, World
    from hpcmtl.dispatch.protocol import Command
    from hpcmtl.layerplan.plan import LayerPlan, PlannedTask
    from hpcmtl.results.curves.point import TaskPoints
    from hpcmtl.results.events import RunEvent
    from hpcmtl.results.outcome.summary import TaskStatus
    from hpcmtl.results.step_progress import StepProgress
    from hpcmtl.taskgraph.graph import TaskGraph
    from hpcmtl.training.orders import Rate
    from hpcmtl.training.session import LayerOutcome


class Observer(Protocol):
    """Receives the events of the dispatcher: the ledger and the display."""

    def record(self, event: RunEvent) -> None:
        """Writes an event to the ledger and shows it."""
        ...

    def progressed(self, progress: StepProgress) -> None:
        """Takes the progress of a running layer."""
        ...

    def add_points(self, points: TaskPoints) -> None:
        """Takes new points of the curves of a task."""
        ...


@dataclass(frozen=True)
class Order:
    """A command and the members that it is for."""

    members: Members
    command: Command


@dataclass
class TaskState:
    """The state of one task.

    Attributes:
        plan: the task in the layer plan.
        needs: tasks that must complete before it.
        live: those of them beside which it may run: it is enough that they run.
        layers_done: number of finished layers.
        steps: optimizer steps of these layers; None if an earlier attempt did some of them.
        status: status of the ended task; None before its end.
        held: members that hold its session while it does not run; None for none.
        place: members of the last group that ran it; None if one of them is lost.
        running: the layer that runs; None while none does.
        outcomes: widths and outcomes of the layers that were run.
        message: reason why it did not complete.
        failed: number of failures.
        not_before: seconds before which it is not tried again.
        paused: whether it waits until a user unpauses it.
        cancelled: whether it ends as soon as its layer has stopped.
        rate: learning rate that a user set last.
        waits_since: seconds since when it has been ready without running; None while it is not.
        aged: priority classes that it has gained by waiting.
        remade: whether its last layer was run again, since its artifact was damaged.
        owner: member that holds the index of its artifact in memory: the first of its last group.
        no_time: whether its next layer could not end before the time limit.
        losses: number of times that members died while they ran the layer `lost_layer`.
        lost_layer: newest layer that lost members; -1 if none did.
    """

    plan: PlannedTask
    needs: tuple[str, ...]
    layers_done: int = 0
    steps: int | None = 0
    status: TaskStatus | None = None
    held: Members | None = None
    place: Members | None = None
    running: Running | None = None
    outcomes: list[tuple[int, LayerOutcome]] = field(default_factory=list)
    message: str = ""
    failed: int = 0
    not_before: float = 0.0
    live: frozenset[str] = frozenset()
    paused: bool = False
    cancelled: bool = False
    rate: Rate | None = None
    waits_since: float | None = None
    aged: int = 0
    remade: bool = False
    owner: int | None = None
    no_time: bool = False
    losses: int = 0
    lost_layer: int = -1

    def lose_layer(self, layer: int) -> None:
        """Counts that members died while they ran a layer."""
        self.losses, self.lost_layer = 1 + self.losses * (self.lost_layer == layer), layer

    @property
    def waits(self) -> bool:
        """Returns whether it neither runs nor has ended."""
        return self.status is None and self.running is None

    @property
    def priority_class(self) -> int:
        """Priority with what it gained by ageing; of the ready tasks the one with the higher class goes first."""
        return self.plan.job_priority + self.aged

    @property
    def held_back(self) -> bool:
        """Returns whether no further layer of it may start, by a request of a user or for want of time."""
        return self.paused or self.cancelled or self.no_time


class Scheduler(Protocol):
    """Decides which layers start now, and on which ranks; it packs blocks of ranks and maps members to them."""

    def starts(self, tasks: Mapping[str, TaskState], now: float) -> Iterable[tuple[TaskState, range]]:
        """Yields tasks whose next layer starts now, each with a block of free ranks.

        Args:
            tasks: all tasks of the job.
            now: seconds.
        """
        ...

    def extend(self, graph: TaskGraph, plan: LayerPlan, world: World) -> None:
        """Goes on with a graph and a plan of more tasks, or with fewer members; known tasks keep names and layers."""
        ...

    def widen(self, state: TaskState, width: int, part: float) -> bool:
        """Has the next layer of a task run on more ranks, for want of time; returns whether that is possible.

        Args:
            state: state of the task.
            width: number of ranks with which the layer would take too long.
            part: part of that time which the layer may take.
        """
        ...

    def layer_ended(self, state: TaskState, running: Running, outcome: LayerOutcome, now: float) -> Mapping[str, Any]:
        """Takes note of the time of a layer; returns fields of its event, such as the predicted time."""
        ...


def states_of(plan: LayerPlan, graph: TaskGraph, known: Mapping[str, TaskState] | None = None) -> dict[str, TaskState]:
    """Returns a state for each task of a plan, in its order; a task with a `known` state keeps it."""
    states, live = {}, graph.live
    for task in plan.tasks:
        state = (known or {}).get(task.name)
        if state is None:
            state = TaskState(task, graph.producers(task.name), live=live.get(task.name, frozenset()))
        else:
            state.plan = replace(task, job_priority=state.plan.job_priority)
        states[task.name] = state
    return states


def ready(tasks: Mapping[str, TaskState], state: TaskState, now: float) -> bool:
    """Returns whether a task could start if it had ranks."""
    return (
        state.waits
        and not state.held_back
        and state.not_before <= now
        and all(_met(tasks[need], state.live) for need in state.needs)
    )


def _met(need: TaskState, live: frozenset[str]) -> bool:
    return need.status == "complete" or (need.running is not None and need.plan.name in live)


def held_back(tasks: Mapping[str, TaskState]) -> set[str]:
    """Returns the names of the tasks that cannot go on: those held back, and all that need them."""
    found: set[str] = set()
    for name, state in tasks.items():  # producers first
        if state.status is None and (state.held_back or not found.isdisjoint(state.needs)):
            found.add(name)
    return found


_FATES = {"failed": "failed", "skipped": "was skipped", "cancelled": "was cancelled"}


def without_producer(tasks: Mapping[str, TaskState]) -> Iterator[tuple[TaskState, str]]:
    """Yields each waiting task with a producer that did not complete, and the reason; the caller marks it as ended."""
    for state in tasks.values():  # producers first
        lost = next((need for need in state.needs if tasks[need].status in _FATES), None)
        if lost is not None and state.waits:
            yield state, f"needs {lost}, which {_FATES[str(tasks[lost].status)]}"


def only_paused(tasks: Mapping[str, TaskState]) -> list[str]:
    """Returns the names of the paused tasks, if no task runs and none can go on without them; else none."""
    back = held_back(tasks)
    if any(state.status is None and (state.running or name not in back) for name, state in tasks.items()):
        return []
    return [name for name, state in tasks.items() if state.status is None and state.paused]


def remake(tasks: Mapping[str, TaskState], damaged: str) -> TaskState | None:
    """Has a task with a damaged artifact run its last layer again, from its checkpoint; its consumers wait for that.

    Returns:
        State of the task; None if there is no such task, or it was made again before.
    """
    producer = tasks.get(damaged)
    if producer is None or (producer.remade and producer.status is not None):
        return None
    if producer.status == "complete":  # else another of its consumers has reported it already
        producer.status, producer.owner, producer.remade = None, None, True
        producer.layers_done, producer.steps = producer.layers_done - 1, None
    return producer


def owners(tasks: Mapping[str, TaskState], state: TaskState) -> tuple[tuple[str, int], ...]:
    """Returns pairs of a needed task and the member that holds the index of its artifact in memory."""
    pairs = ((need, tasks[need].owner) for need in state.needs)
    return tuple((need, owner) for need, owner in pairs if owner is not None)


def start_command(tasks: Mapping[str, TaskState], state: TaskState, running: Running) -> RunLayer:
    """Returns the command that starts the layer that a task is about to run."""
    return RunLayer(
        task=state.plan.name,
        layer=running.layer,
        layers=state.plan.layers,
        group=running.group,
        step=state.steps,
        rate=state.rate,
        owners=owners(tasks, state),
        start_number=running.start_number,
    )
