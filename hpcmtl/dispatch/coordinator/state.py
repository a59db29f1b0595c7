"""What rank 0 knows of a running job: each task, the layer that it is in, and who wants to be told."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Protocol

from hpcmtl.dispatch.protocol import RunLayer

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from hpcmtl.dispatch.protocol import Command, LayerFailed
    from hpcmtl.layerplan.plan import LayerPlan, PlannedTask
    from hpcmtl.results.events import RunEvent
    from hpcmtl.results.outcome.summary import TaskStatus
    from hpcmtl.results.step_progress import StepProgress
    from hpcmtl.taskgraph.graph import TaskGraph
    from hpcmtl.training.orders import Rate
    from hpcmtl.training.session import LayerOutcome


class UnrecoverableError(Exception):
    """A rank failed alone and its group is stuck: the run must be ended from outside."""


class Observer(Protocol):
    """Who wants to know what happens: the ledger and the display."""

    def record(self, event: RunEvent) -> None:
        """Writes an event to the ledger and shows it."""
        ...

    def progressed(self, progress: StepProgress) -> None:
        """A running layer is so far."""
        ...


@dataclass(frozen=True)
class Order:
    """A command and the ranks that it is for."""

    ranks: range
    command: Command


@dataclass
class Running:
    """A layer that is being run.

    Attributes:
        layer: its number.
        block: its ranks.
        started: seconds, when its ranks were told.
        last_word: seconds, when one of them last reported.
        opened: whether its ranks had to open a session for it.
        late: whether it has been named as silent.
        reported: ranks that are done with it.
        outcome: what the group's first rank said came out.
        failures: what its ranks raised.
        deadline: seconds, when the others must have reported after a failure.
        halted: whether its ranks were told to stop it.
        number: of this start, counted over the job.
        lost_rank: whether it lost a rank, or cannot end for one that was lost: `block` are those that are left.
    """

    layer: int
    block: range
    started: float
    last_word: float
    opened: bool = True
    late: bool = False
    reported: set[int] = field(default_factory=set)
    outcome: LayerOutcome | None = None
    failures: list[LayerFailed] = field(default_factory=list)
    deadline: float | None = None
    halted: bool = False
    number: int = 0
    lost_rank: bool = False


@dataclass
class TaskState:
    """What is known of one task.

    Attributes:
        plan: its part of the plan.
        needs: tasks that must complete first.
        live: those of them that it may run beside: to start, it is enough that they run.
        layers_done: finished layers.
        steps: that its layers did; None if an earlier attempt did some.
        status: None until it has ended.
        held: ranks that keep its session while it does not run.
        place: ranks of its last layer that was started.
        running: the layer in work.
        outcomes: of the layers that were run, with their widths.
        message: why it did not complete.
        failed: how often a layer of it failed.
        not_before: seconds before which it is not tried again.
        paused: whether it waits until somebody lets it go on.
        cancelled: whether it ends as soon as its layer has stopped.
        rate: the learning rate that was ordered last.
        waits_since: seconds, since when it has been ready and has not run; None where it is not so.
        aged: classes that it has gained by waiting.
        remade: whether its last layer was run again since its artifact was damaged.
        owner: rank that answers for its artifact in memory: the first of those that completed it.
        no_time: whether its next layer could not end before the time limit.
    """

    plan: PlannedTask
    needs: tuple[str, ...]
    layers_done: int = 0
    steps: int | None = 0
    status: TaskStatus | None = None
    held: range | None = None
    place: range | None = None
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

    @property
    def waits(self) -> bool:
        """Whether it has neither ended nor runs."""
        return self.status is None and self.running is None

    @property
    def priority_class(self) -> int:
        """What decides first which of the ready tasks goes next: the higher."""
        return self.plan.job_priority + self.aged

    @property
    def held_back(self) -> bool:
        """Whether no further layer of it may start: by somebody's wish, or for want of time."""
        return self.paused or self.cancelled or self.no_time


def unrecoverable(running: Running) -> UnrecoverableError:
    """What to say of a layer that a rank failed in alone."""
    failure = running.failures[0]
    missing = sorted(set(running.block) - running.reported)
    return UnrecoverableError(
        f"rank {failure.rank} failed alone in task {failure.task}, layer {failure.layer}: {failure.message}; "
        f"rank{'s' if len(missing) > 1 else ''} {', '.join(map(str, missing))} cannot go on without it"
    )


class Scheduler(Protocol):
    """Decides what starts now, and where."""

    def starts(self, tasks: Mapping[str, TaskState], now: float) -> Iterable[tuple[TaskState, range]]:
        """The next layers of these tasks on these ranks, which are free.

        Args:
            tasks: all of the job.
            now: seconds.
        """
        ...

    def extend(self, graph: TaskGraph, plan: LayerPlan) -> None:
        """Go on with a graph and a plan of more tasks; those that were there keep their names and layers."""
        ...

    def widen(self, state: TaskState, width: int, part: float) -> bool:
        """Have the next layer of a task run on more ranks, since time presses; say whether that can be.

        Args:
            state: of the task.
            width: ranks with which it would take too long.
            part: of the time that it takes with so many, that it may take.
        """
        ...

    def layer_ended(self, state: TaskState, running: Running, outcome: LayerOutcome, now: float) -> Mapping[str, Any]:
        """Take note of what a layer took; return what the ledger should know of the conclusions."""
        ...


def states_of(plan: LayerPlan, graph: TaskGraph, known: Mapping[str, TaskState] | None = None) -> dict[str, TaskState]:
    """A state for each task of a plan, in its order; of those that were there before all that is `known` stays."""
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
    """Whether a task could start if it had ranks."""
    return (
        state.waits
        and not state.held_back
        and state.not_before <= now
        and all(_met(tasks[need], state.live) for need in state.needs)
    )


def _met(need: TaskState, live: frozenset[str]) -> bool:
    return need.status == "complete" or (need.running is not None and need.plan.name in live)


def held_back(tasks: Mapping[str, TaskState]) -> set[str]:
    """Names of the tasks that cannot go on: those held back, and all that need them."""
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


def waits_for_somebody(tasks: Mapping[str, TaskState]) -> list[str]:
    """The paused tasks, if nothing runs and nothing is left that could go on without them; else none."""
    back = held_back(tasks)
    if any(state.status is None and (state.running or name not in back) for name, state in tasks.items()):
        return []
    return [name for name, state in tasks.items() if state.status is None and state.paused]


def remake(tasks: Mapping[str, TaskState], damaged: str) -> TaskState | None:
    """Have a task with a damaged artifact run its last layer again, from its checkpoint; who needs it waits for that.

    Returns:
        The task; None if there is none of that name, or it was made again before.
    """
    producer = tasks.get(damaged)
    if producer is None or (producer.remade and producer.status is not None):
        return None
    if producer.status == "complete":  # else another of its consumers has found the same
        producer.status, producer.owner, producer.remade = None, None, True
        producer.layers_done, producer.steps = producer.layers_done - 1, None
    return producer


def owners(tasks: Mapping[str, TaskState], state: TaskState) -> tuple[tuple[str, int], ...]:
    """Who answers for the artifacts that a task needs."""
    pairs = ((need, tasks[need].owner) for need in state.needs)
    return tuple((need, owner) for need, owner in pairs if owner is not None)


def start_command(tasks: Mapping[str, TaskState], state: TaskState, running: Running) -> RunLayer:
    """Returns the command that starts the layer that a task is about to run."""
    return RunLayer(
        task=state.plan.name,
        layer=running.layer,
        layers=state.plan.layers,
        first_rank=running.block.start,
        width=len(running.block),
        step=state.steps,
        rate=state.rate,
        owners=owners(tasks, state),
        number=running.number,
    )
