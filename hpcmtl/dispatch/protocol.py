"""The words of the command stream: what the dispatcher tells a rank, and what a rank reports back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from hpcmtl.results.events import LayerStarted, RankFailed

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from hpcmtl.communicators.base import Communicator
    from hpcmtl.jobfile.arrays import ArraySpec
    from hpcmtl.jobfile.schema import Job
    from hpcmtl.results.events import RunEvent
    from hpcmtl.results.step_progress import StepProgress
    from hpcmtl.training.orders import Rate
    from hpcmtl.training.session import LayerOutcome


@dataclass(frozen=True)
class RunLayer:
    """Run one layer with the ranks [first_rank, first_rank + width).

    Attributes:
        task: name.
        layer: number.
        layers: how many the task has.
        first_rank: of the group.
        width: of the group.
        step: steps that the task has done by then; None if that is not known.
        rate: the learning rate that was ordered for the task while the job ran.
        owners: pairs of a task that this one needs and the rank that answers for its artifact in memory.
        number: of this start, counted over the job.
    """

    task: str
    layer: int
    layers: int
    first_rank: int
    width: int
    step: int | None = None
    rate: Rate | None = None
    owners: tuple[tuple[str, int], ...] = ()
    number: int = 0

    @property
    def block(self) -> range:
        """The ranks of the group."""
        return range(self.first_rank, self.first_rank + self.width)

    def to_event(self) -> LayerStarted:
        """Returns the event for the ledger."""
        place = {"first_rank": self.first_rank, "ranks": self.width}
        return LayerStarted(task=self.task, layer=self.layer, layers=self.layers, **place)


@dataclass(frozen=True)
class Release:
    """Close the session of a task that its ranks hold between layers: they are needed elsewhere."""

    task: str


@dataclass(frozen=True)
class ExtendJob:
    """The job has more tasks from now on; sessions that are opened later are of this job.

    Attributes:
        job: all of it, what was there before included.
        files: data name -> HDF5 file.
        arrays: every array by reference.
        folder: where users' modules of the new tasks may lie.
    """

    job: Job
    files: Mapping[str, Path]
    arrays: Mapping[str, ArraySpec]
    folder: str


@dataclass(frozen=True)
class StopLayer:
    """Stop the layer that the rank runs at the next step boundary that its group agrees on, with a checkpoint."""


@dataclass(frozen=True)
class SetRate:
    """Go on with another learning rate from the next step boundary that the group agrees on."""

    rate: Rate


@dataclass(frozen=True)
class Abandon:
    """Give up a layer, see `RunLayer.number`: it cannot end, since a rank of the world was lost while it began."""

    number: int


@dataclass(frozen=True)
class Renumbered:
    """Ranks were lost; from now on the others are numbered anew. From a rank's control thread to its main thread.

    Attributes:
        survivors: old numbers of the ranks that live, in order.
        world: all that live.
    """

    survivors: tuple[int, ...]
    world: Communicator


@dataclass(frozen=True)
class StopTraining:
    """Stop at the next step boundary that the group agrees on, with a checkpoint."""


@dataclass(frozen=True)
class EndOfJob:
    """There is nothing more to do."""


Command = RunLayer | Release | ExtendJob | StopLayer | SetRate | Abandon | Renumbered | StopTraining | EndOfJob


@dataclass(frozen=True)
class LayerDone:
    """Ranks have finished a layer.

    Attributes:
        rank: who says so.
        task: name.
        layer: number.
        outcome: what came out; only the group's first rank knows.
        block: the group.
        number: of the `RunLayer`.
        ranks: who has finished, of those that `rank` speaks for; see `reduction`.
    """

    rank: int
    task: str
    layer: int
    outcome: LayerOutcome | None
    block: range
    number: int
    ranks: tuple[int, ...] = ()


@dataclass(frozen=True)
class LayerFailed:
    """A layer raised on a rank.

    Attributes:
        rank: which.
        task: name.
        layer: number.
        message: the error in a line.
        traceback: where it came from.
        block: the group.
        number: of the `RunLayer`.
        damaged: the task whose artifact could not be used, if that was the cause.
        lost: whether the cause was that a rank was lost, of the group or while it was made.
    """

    rank: int
    task: str
    layer: int
    message: str
    traceback: str
    block: range
    number: int
    damaged: str = ""
    lost: bool = False

    def to_event(self) -> RankFailed:
        """Returns the event for the ledger."""
        return RankFailed(task=self.task, layer=self.layer, rank=self.rank, message=self.message)


@dataclass(frozen=True)
class ProgressReport:
    """A layer is so far."""

    progress: StepProgress


@dataclass(frozen=True)
class StopRequest:
    """A rank got a signal: the whole job should stop."""

    rank: int
    signal: str


@dataclass(frozen=True)
class EventReport:
    """Sends an event of a rank to the ledger."""

    event: RunEvent


Report = LayerDone | LayerFailed | ProgressReport | EventReport | StopRequest
