"""Events: the facts about a run that its ledger holds, one frozen value each.

The name of an event in the ledger is the name of its class in snake case, its fields are the fields of the class. New
fields need a default, so that a ledger of an earlier version can be read. A renamed event or field needs a new `FORMAT`
and an entry in `results.event_format`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping  # noqa: TC003 - pydantic reads the annotations
from dataclasses import dataclass, field
from typing import Any, ClassVar

from hpcmtl.results.outcome.summary import JobStatus, TaskStatus  # noqa: TC001 - pydantic reads the annotations

FORMAT = 3
"""Version of the ledger's format; `JobStarted` carries it. Ledgers without one are of format 1."""


class RunEvent:
    """Base class of all events.

    Attributes:
        name: name of the event in the ledger.
    """

    name: ClassVar[str]

    def __init_subclass__(cls) -> None:
        cls.name = re.sub(r"(?<!^)(?=[A-Z])", "_", cls.__name__).lower()


@dataclass(frozen=True, kw_only=True)
class JobStarted(RunEvent):
    """An attempt at a run began.

    Attributes:
        job: name of the job.
        ranks: size of the world.
        policy: planning policy.
        host: host of rank 0.
        attempt: number of the attempt, from 1; 0 in ledgers of versions that did not number attempts.
        attempt_id: name of the attempt in the batch script; empty outside of one.
        format: format version of the events that follow.
    """

    job: str
    ranks: int
    policy: str = ""
    host: str = ""
    attempt: int = 0
    attempt_id: str = ""
    format: int = FORMAT


@dataclass(frozen=True, kw_only=True)
class JobStopping(RunEvent):
    """All layers are stopped with checkpoints, after which the job ends."""

    reason: str = ""


@dataclass(frozen=True, kw_only=True)
class JobPaused(RunEvent):
    """No task runs and none can start until one of these paused `tasks` is unpaused."""

    tasks: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class JobEnded(RunEvent):
    """An attempt ended and its completion record is written."""

    status: JobStatus
    seconds: float = 0.0
    attempt: int = 0


@dataclass(frozen=True, kw_only=True)
class LayerStarted(RunEvent):
    """A task layer was started.

    Attributes:
        task: name of the task.
        layer: number of the layer, from 0.
        layers: number of layers of the task.
        first_rank: first rank of the group.
        ranks: width of the group.
    """

    task: str
    layer: int
    layers: int
    first_rank: int
    ranks: int


@dataclass(frozen=True, kw_only=True)
class LayerOver(RunEvent):
    """Base class of the two events that end the run of a task layer with an outcome.

    Attributes:
        task: name of the task.
        layer: number of the layer, from 0.
        ranks: width of the group.
        steps: optimizer steps, or batches of a task that applies a network.
        rows: rows of a step on the fullest rank; 0 where there are none.
        step_seconds: mean seconds of a step.
        seconds: seconds from the start command to the last report.
        metrics: metric values by name; None for one without a value.
        undefined: reasons of the metrics without a value.
        tables: tables of numbers by name, such as a confusion matrix, as lists of rows.
        engine: name of the engine; empty for a task that does not train.
        engine_reason: reason for the choice of the engine.
        compression: data type in which gradients travelled.
        reached: optimizer steps of the task so far; None for a task that does not train.
        ended_early: true if the task made its last step, before the planned ones: no layer follows.
        predicted_seconds: prediction of `seconds`; None where none was made.
        slow_ranks: ranks that are slower than planned.
        facts: further measurements by name, e.g. ``data_wait``, ``skipped_steps``, ``from_memory``.
    """

    task: str
    layer: int
    ranks: int
    steps: int = 0
    rows: float = 0.0
    step_seconds: float = 0.0
    seconds: float = 0.0
    metrics: Mapping[str, float | None] = field(default_factory=dict)
    undefined: Mapping[str, str] = field(default_factory=dict)
    tables: Mapping[str, list[list[float]]] = field(default_factory=dict)
    engine: str = ""
    engine_reason: str = ""
    compression: str = "none"
    reached: int | None = None
    ended_early: bool = False
    predicted_seconds: float | None = None
    slow_ranks: tuple[int, ...] = ()
    facts: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class LayerEnded(LayerOver):
    """A task layer ran to its end."""


@dataclass(frozen=True, kw_only=True)
class LayerStopped(LayerOver):
    """A task layer was stopped on request at a step boundary, with a checkpoint; it is run to its end later."""


@dataclass(frozen=True, kw_only=True)
class LayerRestarted(RunEvent):
    """A task layer lost a rank and is to run again from its newest checkpoint.

    Attributes:
        lost: ranks of its group that died; none if it could only not begin, because others died.
        not_begun: true if they were dead before the group was made; such a loss is not counted against the task.
    """

    task: str
    layer: int
    lost: tuple[int, ...] = ()
    not_begun: bool = False


@dataclass(frozen=True, kw_only=True)
class LayerLate(RunEvent):
    """A running task layer has sent no report for long; `silent_ranks` have not finished it."""

    task: str
    layer: int
    silent_ranks: tuple[int, ...] = ()


@dataclass(frozen=True, kw_only=True)
class LayerStuck(RunEvent):
    """A running task layer has made no step for too long, and is given up.

    Attributes:
        seconds: seconds without a step.
        silent_ranks: ranks that have not finished it.
    """

    task: str
    layer: int
    seconds: float = 0.0
    silent_ranks: tuple[int, ...] = ()


@dataclass(frozen=True, kw_only=True)
class RankStuck(RunEvent):
    """A rank of a layer that is given up tells the place in the code where its main thread is."""

    task: str
    layer: int
    rank: int
    place: str = ""


@dataclass(frozen=True, kw_only=True)
class TaskEnded(RunEvent):
    """A task ended; `message` is the reason if it did not complete."""

    task: str
    status: TaskStatus
    message: str = ""


@dataclass(frozen=True, kw_only=True)
class TaskRetried(RunEvent):
    """A task failed and is to be tried again.

    Attributes:
        task: name of the task.
        layer: number of the layer that failed.
        retry: number of this retry, from 1.
        retries: number of retries that the task may have.
        wait: seconds until the retry.
        message: error of the failed layer.
    """

    task: str
    layer: int = 0
    retry: int
    retries: int
    wait: float = 0.0
    message: str = ""


@dataclass(frozen=True, kw_only=True)
class TaskNoted(RunEvent):
    """The user of a task should know `text`; nothing has failed."""

    task: str
    text: str


@dataclass(frozen=True, kw_only=True)
class TaskReset(RunEvent):
    """A failed task was changed by the job file of a resume: it begins again from nothing.

    Attributes:
        task: name of the task.
        changed: keys that were changed.
    """

    task: str
    changed: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class ArtifactDamaged(RunEvent):
    """The artifact of `task` could not be read by task `consumer`: the last layer of `task` is to run again.

    At the start of an attempt all artifacts are read; there is no consumer then.
    """

    task: str
    consumer: str = ""
    layer: int = 0
    message: str = ""


@dataclass(frozen=True, kw_only=True)
class CheckpointWritten(RunEvent):
    """A checkpoint is on disk.

    Attributes:
        task: name of the task.
        step: optimizer steps of the task at the checkpoint.
        seconds: seconds that the write took.
        held: seconds for which training waited for the copy of the state.
        bytes: size of the file.
    """

    task: str
    step: int
    seconds: float = 0.0
    held: float = 0.0
    bytes: int = 0


@dataclass(frozen=True, kw_only=True)
class CheckpointDamaged(RunEvent):
    """A checkpoint could not be read and was renamed; an older one is used."""

    task: str
    file: str = ""
    message: str = ""


@dataclass(frozen=True, kw_only=True)
class LearningRateChanged(RunEvent):
    """A task goes on with another base learning rate from `step` on, counted over the whole task."""

    task: str
    layer: int = 0
    step: int = 0
    learning_rate: float


@dataclass(frozen=True, kw_only=True)
class TrainingStopped(RunEvent):
    """A task, or one head of it, is not trained any more, since a metric has not improved.

    Attributes:
        task: name of the task.
        head: name of the head; empty for the whole task.
        epoch: last epoch that it was trained in, from 0.
        step: optimizer steps of the task done.
        monitor: name of the metric.
        best: its best value.
        best_epoch: epoch of the best value.
    """

    task: str
    head: str = ""
    epoch: int
    step: int
    monitor: str
    best: float | None = None
    best_epoch: int = 0


@dataclass(frozen=True, kw_only=True)
class RequestAnswered(RunEvent):
    """Base class of the two events that answer a user's request to the running job.

    Attributes:
        request: id of the request.
        verb: ``set``, ``pause``, ``unpause``, ``cancel`` or ``add``; empty if the request could not be read.
        by: user and host.
        task: name of the task; empty for the whole job.
        values: values of the request; of ``add`` only names.
        message: answer to the user.
    """

    request: str = ""
    verb: str = ""
    by: str = ""
    task: str = ""
    values: Mapping[str, Any] = field(default_factory=dict)
    message: str = ""


@dataclass(frozen=True, kw_only=True)
class RequestAccepted(RequestAnswered):
    """A user's request to the running job was accepted."""


@dataclass(frozen=True, kw_only=True)
class RequestRefused(RequestAnswered):
    """A user's request to the running job was refused; `message` is the reason."""


@dataclass(frozen=True, kw_only=True)
class RankFailed(RunEvent):
    """A task layer raised an error on a rank."""

    task: str
    layer: int
    rank: int
    message: str = ""


@dataclass(frozen=True, kw_only=True)
class RankSilence(RunEvent):
    """Base class of the two events of the failure detector.

    Attributes:
        rank: number of the rank.
        seconds: seconds since its last heartbeat.
        task: task of its last heartbeat; empty if it waited for work.
        layer: layer of that task.
        step: last known step of that layer.
    """

    rank: int
    seconds: float = 0.0
    task: str = ""
    layer: int = 0
    step: int = 0


@dataclass(frozen=True, kw_only=True)
class RankSuspected(RankSilence):
    """No heartbeat of a rank has arrived for longer than the failure detector allows."""


@dataclass(frozen=True, kw_only=True)
class RankRecovered(RankSilence):
    """A heartbeat of a suspected rank has arrived after `seconds` without one."""


@dataclass(frozen=True, kw_only=True)
class RankHung(RunEvent):
    """A suspected rank stayed silent past the limit, was declared dead and is to be fenced.

    Attributes:
        rank: number of the rank.
        host: its host.
        seconds: seconds since its last heartbeat.
        doing: activity in its last heartbeat, in words.
        fenced_by: rank that kills its process; None if no rank can.
    """

    rank: int
    host: str = ""
    seconds: float = 0.0
    doing: str = ""
    fenced_by: int | None = None


@dataclass(frozen=True, kw_only=True)
class RankLost(RunEvent):
    """A rank died; `task`, `layer` and `step` are those that it ran by its orders, empty if it waited for work."""

    rank: int
    host: str = ""
    task: str = ""
    layer: int = 0
    step: int = 0


@dataclass(frozen=True, kw_only=True)
class WorldShrunk(RunEvent):
    """Ranks were lost, and the run goes on with the others.

    Attributes:
        generation: number of losses in the attempt so far.
        ranks: number of ranks that live.
        members: ids of the ranks that live; each is the number that the rank had at the start of the attempt.
    """

    ranks: int
    members: tuple[int, ...]
    generation: int = 0


@dataclass(frozen=True, kw_only=True)
class AttemptConcluded(RunEvent):
    """The batch script decided what follows an attempt; in ``attempts.jsonl``, not in the ledger of the run.

    Attributes:
        attempt: id of the attempt.
        job: id of the batch job that the attempt was part of.
        action: ``end``, ``requeue`` or ``successor``.
        successor: id of the batch job that follows; empty if none does, or if it is the same job.
        progressed: true if the attempt brought the run further.
        code: exit code of the launcher.
        why: reason for the action.
        preempted: true if Slurm stopped the attempt for another job, so that the next one is not counted.
    """

    attempt: str
    job: str
    action: str
    successor: str
    progressed: bool
    code: int = 0
    why: str = ""
    preempted: bool = False
