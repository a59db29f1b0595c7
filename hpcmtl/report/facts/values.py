"""The facts of one run as frozen values.

Times are seconds on the axis of the run: from the start of its first attempt, without the breaks between attempts.
"""

from __future__ import annotations

from collections.abc import Mapping  # noqa: TC003 - a field's type, in public
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hpcmtl.results.outcome.affinity import Affinity


@dataclass(frozen=True, kw_only=True)
class AttemptFacts:
    """One attempt at a run.

    Attributes:
        number: number of the attempt, from 1.
        status: status with which it ended; ``running`` if the ledger has no end of it.
        began: time of its start, in seconds since 1970.
        start: its start on the axis of the run, in seconds.
        seconds: seconds until its end, or until its last event.
        ranks: number of ranks at its start.
        host: host of rank 0.
    """

    number: int
    status: str = "running"
    began: float = 0.0
    start: float = 0.0
    seconds: float = 0.0
    ranks: int = 0
    host: str = ""


@dataclass(frozen=True, kw_only=True)
class RunSummary:
    """A run in a few numbers.

    Attributes:
        job: name of the job.
        status: preparing, running, stopping, or the status with which the last attempt ended, by the ledger.
        message: reason why the job did not complete, where no task is the cause.
        attempts: all attempts, in order.
        seconds: seconds of all attempts together.
        rank_seconds: ranks times seconds of all layers that were run.
        ranks: number of ranks at the start of the last attempt; the planned number before one.
        hosts: hosts, each once.
        tasks: number of tasks.
        complete: number of complete tasks.
    """

    job: str
    status: str = "preparing"
    message: str = ""
    attempts: tuple[AttemptFacts, ...] = ()
    seconds: float = 0.0
    rank_seconds: float = 0.0
    ranks: int = 0
    hosts: tuple[str, ...] = ()
    tasks: int = 0
    complete: int = 0


@dataclass(frozen=True, kw_only=True)
class TaskFacts:
    """One task of a run.

    Attributes:
        name: name of the task.
        kind: task kind; empty if unknown.
        status: waiting, running, held, or the status with which the task ended.
        message: reason why it did not complete.
        layers: number of task layers.
        layers_done: number of task layers that ran to their end.
        seconds: seconds of all layers that were run.
        rank_seconds: ranks times seconds of these layers.
        steps: optimizer steps, those of repeated layers included.
        ranks: width of each layer that was run, in order.
        engine: name of the engine; empty for a task that trains nothing.
        metrics: newest metric values by name; None for one without a value.
        undefined: reasons of the metrics without a value.
        affinity: cosines between the gradients of its objectives; None if they were not compared.
    """

    name: str
    kind: str = ""
    status: str = "waiting"
    message: str = ""
    layers: int = 0
    layers_done: int = 0
    seconds: float = 0.0
    rank_seconds: float = 0.0
    steps: int = 0
    ranks: tuple[int, ...] = ()
    engine: str = ""
    metrics: Mapping[str, float | None] = field(default_factory=dict)
    undefined: Mapping[str, str] = field(default_factory=dict)
    affinity: Affinity | None = None


@dataclass(frozen=True, kw_only=True)
class GanttPiece:
    """A rectangle of a Gantt chart over ranks and time.

    Attributes:
        task: name of the task.
        layer: number of the task layer, from 0; None for a whole task, as a plan has it.
        first_rank: first rank of its group.
        last_rank: last rank of its group.
        ranks: number of ranks of the group.
        start: start on the axis of the run, in seconds.
        end: end on this axis.
        outcome: ``planned``, ``ended``, ``stopped``, ``lost`` (run again, or failed) or ``running``.
    """

    task: str
    layer: int | None = None
    first_rank: int = 0
    last_rank: int = 0
    ranks: int = 1
    start: float = 0.0
    end: float = 0.0
    outcome: str = "planned"


@dataclass(frozen=True, kw_only=True)
class PlanFigures:
    """The figures of a layer plan.

    Attributes:
        policy: planning policy.
        ranks: number of ranks.
        makespan: predicted seconds from the first start to the last end.
        lower_bound: certified lower bound of the makespan, in seconds, if the predicted times are right.
        gap: relative distance of the makespan from the bound.
        utilisation: busy rank-seconds over ranks times makespan, 0 to 1.
        critical: names of the tasks whose delay delays the job.
        layers: number of task layers by task.
    """

    policy: str
    ranks: int
    makespan: float
    lower_bound: float
    gap: float
    utilisation: float
    critical: frozenset[str] = frozenset()
    layers: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class TimeSpent:
    """Rank-seconds of a run by what they were spent on; None where the run did not measure it.

    Attributes:
        total: ranks that lived times seconds, of all attempts.
        train: in the steps of tasks, without the waits below. The exchange of gradients is a part of it.
        wait: waits for the next batch.
        communicate: exchange of gradients; None, since no run measures it apart from the steps.
        checkpoint: waits for the copy of the state before a checkpoint is written.
        other: of task layers outside of steps: start, inputs, validation, publication; and of layers that were lost.
        idle: ranks without a task layer.
        bytes_from_memory: bytes of artifacts that tasks took from the memory of other ranks.
        bytes_from_files: bytes of artifacts that tasks read from files.
        checkpoint_bytes: bytes of checkpoints.
    """

    total: float = 0.0
    train: float = 0.0
    wait: float | None = None
    communicate: float | None = None
    checkpoint: float = 0.0
    other: float = 0.0
    idle: float = 0.0
    bytes_from_memory: float | None = None
    bytes_from_files: float | None = None
    checkpoint_bytes: int = 0

    @property
    def utilisation(self) -> float:
        """Share of the rank-seconds in which a rank had a task layer, 0 to 1."""
        return 1 - self.idle / self.total if self.total > 0 else 0.0


@dataclass(frozen=True, kw_only=True)
class GraphEdge:
    """A dependency between two tasks of a run.

    Attributes:
        producer: task that comes first.
        consumer: task that needs it.
        kind: kind of the edge, such as ``parameters`` or ``order``.
        mode: ``sync`` or ``async``.
    """

    producer: str
    consumer: str
    kind: str = ""
    mode: str = "sync"


@dataclass(frozen=True, kw_only=True)
class NotableEvent:
    """An event that the reader of a run should know: a fault, a retry, a loss, a request, a stop.

    Attributes:
        at: time on the axis of the run, in seconds.
        attempt: number of the attempt.
        event: name of the event, as in the ledger.
        task: name of the task; empty for the job.
        text: what happened, in words.
    """

    at: float
    attempt: int
    event: str
    task: str
    text: str


@dataclass(frozen=True, kw_only=True)
class RunOverview:
    """All facts of a run.

    Attributes:
        summary: the run in a few numbers.
        tasks: its tasks, in the order of the job file; added ones last.
        edges: dependencies between them.
        plan: figures of the layer plan; None without one.
        planned: the plan as pieces, one a task.
        actual: the task layers that were run, in the order of their starts.
        time: rank-seconds by what they were spent on.
        notable: notable events, in order.
        environment: contents of ``environment.json``; empty without one.
    """

    summary: RunSummary
    tasks: tuple[TaskFacts, ...] = ()
    edges: tuple[GraphEdge, ...] = ()
    plan: PlanFigures | None = None
    planned: tuple[GanttPiece, ...] = ()
    actual: tuple[GanttPiece, ...] = ()
    time: TimeSpent = TimeSpent()
    notable: tuple[NotableEvent, ...] = ()
    environment: Mapping[str, Any] = field(default_factory=dict)
