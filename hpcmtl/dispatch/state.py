"""What rank 0 knows of a running job: each task, the layer that it is in, and who wants to be told."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from hpcmtl.dispatch.commands import Command, LayerFailed
    from hpcmtl.layerplan.plan import PlannedTask
    from hpcmtl.results.progress import StepProgress
    from hpcmtl.results.summary import TaskStatus
    from hpcmtl.training.session import LayerOutcome


class Observer(Protocol):
    """Who wants to know what happens: the ledger and the display."""

    def record(self, event: str, **fields: Any) -> None:
        """Something that the ledger should hold."""
        ...

    def progressed(self, progress: StepProgress) -> None:
        """A running layer is so far."""
        ...


@dataclass(frozen=True)
class Order:
    """A command and the rank that it is for."""

    rank: int
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


@dataclass
class TaskState:
    """What is known of one task.

    Attributes:
        plan: its part of the plan.
        needs: tasks that must complete first.
        layers_done: finished layers.
        status: None until it has ended.
        held: ranks that keep its session while it does not run.
        running: the layer in work.
        outcomes: of the layers that were run, with their widths.
        message: why it did not complete.
        failed: how often a layer of it failed.
        not_before: seconds before which it is not tried again.
        remade: whether its last layer was run again since its artifact was damaged.
        home: rank that answers for its artifact in memory: the first of those that completed it.
    """

    plan: PlannedTask
    needs: tuple[str, ...]
    layers_done: int = 0
    status: TaskStatus | None = None
    held: range | None = None
    running: Running | None = None
    outcomes: list[tuple[int, LayerOutcome]] = field(default_factory=list)
    message: str = ""
    failed: int = 0
    not_before: float = 0.0
    remade: bool = False
    home: int | None = None

    @property
    def waits(self) -> bool:
        """Whether it has neither ended nor runs."""
        return self.status is None and self.running is None


class Scheduler(Protocol):
    """Decides what starts now, and where."""

    def starts(self, tasks: Mapping[str, TaskState], now: float) -> Iterable[tuple[TaskState, range]]:
        """The next layers of these tasks on these ranks, which are free.

        Args:
            tasks: all of the job.
            now: seconds.
        """
        ...

    def layer_ended(self, state: TaskState, running: Running, outcome: LayerOutcome, now: float) -> Mapping[str, Any]:
        """Take note of what a layer took; return what the ledger should know of the conclusions."""
        ...


def ready(tasks: Mapping[str, TaskState], state: TaskState, now: float) -> bool:
    """Whether a task could start if it had ranks."""
    return state.waits and state.not_before <= now and all(tasks[need].status == "complete" for need in state.needs)


def remake(tasks: Mapping[str, TaskState], damaged: str) -> TaskState | None:
    """Have a task with a damaged artifact run its last layer again, from its checkpoint; who needs it waits for that.

    Returns:
        The task; None if there is none of that name, or it was made again before.
    """
    producer = tasks.get(damaged)
    if producer is None or (producer.remade and producer.status is not None):
        return None
    if producer.status == "complete":  # else another of its consumers has found the same
        producer.status, producer.home, producer.remade = None, None, True
        producer.layers_done -= 1
    return producer


def homes(tasks: Mapping[str, TaskState], state: TaskState) -> tuple[tuple[str, int], ...]:
    """Who answers for the artifacts that a task needs."""
    pairs = ((need, tasks[need].home) for need in state.needs)
    return tuple((need, home) for need, home in pairs if home is not None)
