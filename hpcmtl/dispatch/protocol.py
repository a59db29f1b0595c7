"""The messages of the dispatch: commands from the coordinator to ranks, and reports from ranks to the coordinator.

Messages name members, see `membership.world`: a loss of other ranks changes none of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from hpcmtl.results.events import LayerStarted, RankFailed

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from hpcmtl.communicators.base import Communicator
    from hpcmtl.dispatch.membership.world import Members, World
    from hpcmtl.jobfile.arrays import ArraySpec
    from hpcmtl.jobfile.schema import Job
    from hpcmtl.results.curves.point import TaskPoints
    from hpcmtl.results.events import RunEvent
    from hpcmtl.results.step_progress import StepProgress
    from hpcmtl.training.orders import Rate
    from hpcmtl.training.session import LayerOutcome


@dataclass(frozen=True, kw_only=True)
class RunLayer:
    """Runs one task layer on a group.

    Attributes:
        task: name of the task.
        layer: number of the layer, from 0.
        layers: number of layers of the task.
        group: members of the group; the first one reports the outcome.
        step: optimizer steps that the task has done so far; None if that is unknown.
        rate: learning rate that a user set last; None for that of the job file.
        owners: pairs of a task that this one needs and the member that holds the index of its artifact in memory.
        start_number: number of this start, counted over the attempt from 1.
    """

    task: str
    layer: int
    layers: int
    group: Members
    step: int | None = None
    rate: Rate | None = None
    owners: tuple[tuple[str, int], ...] = ()
    start_number: int = 0

    def to_event(self) -> LayerStarted:
        """Returns the event for the ledger."""
        place = {"first_rank": self.group[0], "ranks": len(self.group)}
        return LayerStarted(task=self.task, layer=self.layer, layers=self.layers, **place)


@dataclass(frozen=True)
class Release:
    """Closes the session that a group holds between two layers of a `task`: its ranks are needed elsewhere."""

    task: str


@dataclass(frozen=True, kw_only=True)
class ExtendJob:
    """Adds tasks to the job; sessions that are opened later are of the larger job.

    Attributes:
        job: the whole job, with the tasks that it had before.
        files: HDF5 file of each name under `data`.
        arrays: every array by reference.
        folder: folder of the users' modules of the new tasks.
    """

    job: Job
    files: Mapping[str, Path]
    arrays: Mapping[str, ArraySpec]
    folder: str


@dataclass(frozen=True)
class StopLayer:
    """Stops the running layer with a checkpoint, at the next step boundary that its group agrees on."""


@dataclass(frozen=True)
class SetRate:
    """Sets another learning `rate`, from the next step boundary on that the group agrees on."""

    rate: Rate


@dataclass(frozen=True)
class Abandon:
    """Gives up a layer that cannot end.

    Attributes:
        start_number: number of its start, see `RunLayer`.
        stuck: seconds without a step; 0 if a rank was lost in the layer, or as it began.
    """

    start_number: int
    stuck: float = 0.0


@dataclass(frozen=True, kw_only=True)
class WorldChanged:
    """Tells the main thread of a rank that ranks were lost; the control thread of the same rank sends it.

    Attributes:
        world: the members that live.
        comm: communicator of these members, for the main thread.
    """

    world: World
    comm: Communicator


@dataclass(frozen=True)
class StopTraining:
    """Stops all training with a checkpoint, at the next step boundary that each group agrees on."""


@dataclass(frozen=True)
class EndOfJob:
    """Ends the job on a rank: no command follows."""


Command = RunLayer | Release | ExtendJob | StopLayer | SetRate | Abandon | WorldChanged | StopTraining | EndOfJob


@dataclass(frozen=True, kw_only=True)
class LayerDone:
    """Reports that ranks have finished a layer.

    Attributes:
        member: sender of the report.
        task: name of the task.
        layer: number of the layer.
        outcome: outcome of the layer; only the first member of the group knows it.
        group: members of the group.
        start_number: number of the `RunLayer`.
        finished: members that have finished, of those that the sender speaks for; see `transport.reduction`.
    """

    member: int
    task: str
    layer: int
    group: Members
    start_number: int
    outcome: LayerOutcome | None = None
    finished: Members = ()


@dataclass(frozen=True, kw_only=True)
class LayerFailed:
    """Reports that a layer raised an exception on a rank.

    Attributes:
        member: sender of the report.
        task: name of the task.
        layer: number of the layer.
        message: the error in one line.
        group: members of the group.
        start_number: number of the `RunLayer`.
        traceback: the traceback as text.
        damaged: task whose artifact was damaged, if that was the cause; else empty.
        lost: whether the cause was the loss of a rank, in the group or while the group was made.
        may_retry: whether `retries` of the task apply to this error.
        no_space: whether a file system was full, which is no fault of the task.
        begun: whether the group had been made, so that the task itself may have ended ranks.
    """

    member: int
    task: str
    layer: int
    message: str
    group: Members
    start_number: int
    traceback: str = ""
    damaged: str = ""
    lost: bool = False
    may_retry: bool = True
    no_space: bool = False
    begun: bool = True

    def to_event(self) -> RankFailed:
        """Returns the event for the ledger."""
        return RankFailed(task=self.task, layer=self.layer, rank=self.member, message=self.message)


@dataclass(frozen=True)
class ProgressReport:
    """Reports the progress of a running layer."""

    progress: StepProgress


@dataclass(frozen=True)
class PointsReport:
    """Sends new points of the curves of a task to the sinks."""

    points: TaskPoints


@dataclass(frozen=True, kw_only=True)
class StopRequest:
    """Asks for a stop of the whole job, since the process of a `member` got a `signal`."""

    member: int
    signal: str


@dataclass(frozen=True)
class EventReport:
    """Sends an event of a rank to the ledger."""

    event: RunEvent


Report = LayerDone | LayerFailed | ProgressReport | PointsReport | EventReport | StopRequest
