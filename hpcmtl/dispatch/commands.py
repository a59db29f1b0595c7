"""The words of the command stream: what the dispatcher tells a rank, and what a rank reports back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hpcmtl.results.progress import StepProgress
    from hpcmtl.training.session import LayerOutcome


@dataclass(frozen=True)
class RunLayer:
    """Run one layer with the ranks [first_rank, first_rank + width); `layers` is how many the task has.

    `homes` are pairs of a task that this one needs and the rank that answers for its artifact in memory.
    """

    task: str
    layer: int
    layers: int
    first_rank: int
    width: int
    homes: tuple[tuple[str, int], ...] = ()


@dataclass(frozen=True)
class Release:
    """Close the session of a task that its ranks hold between layers: they are needed elsewhere."""

    task: str


@dataclass(frozen=True)
class StopTraining:
    """Stop at the next step boundary that the group agrees on, with a checkpoint."""


@dataclass(frozen=True)
class EndOfJob:
    """There is nothing more to do."""


Command = RunLayer | Release | StopTraining | EndOfJob


@dataclass(frozen=True)
class LayerDone:
    """A rank has finished a layer; the group's first rank says what came out."""

    rank: int
    task: str
    layer: int
    outcome: LayerOutcome | None


@dataclass(frozen=True)
class LayerFailed:
    """A layer raised on a rank; `damaged` is the task whose artifact could not be used, if that was the cause."""

    rank: int
    task: str
    layer: int
    message: str
    traceback: str
    damaged: str = ""


@dataclass(frozen=True)
class Progressed:
    """A layer is so far."""

    progress: StepProgress


@dataclass(frozen=True)
class StopWanted:
    """A rank got a signal: the whole job should stop."""

    rank: int
    signal: str


Report = LayerDone | LayerFailed | Progressed | StopWanted
