"""The seam between a run and all that shows it: sinks subscribe to events, progress and heartbeats."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterable

    from hpcmtl.results.curves.point import TrainingPoint
    from hpcmtl.results.events import RunEvent
    from hpcmtl.results.heartbeat import Heartbeat
    from hpcmtl.results.step_progress import StepProgress


class Sink(Protocol):
    """Shows a run, or keeps what happens in it; lives on rank 0.

    One thread calls a sink. A call must not block: a sink that writes slowly does so on a thread of its own. Any event
    may come at any time, also one that the sink does not know.
    """

    def on_event(self, event: RunEvent, at: float) -> None:
        """Takes in an event; `at` is its time in seconds since 1970."""
        ...

    def on_progress(self, progress: StepProgress) -> None:
        """Takes in the progress of a running layer; called as often as reports come in."""
        ...

    def on_point(self, task: str, point: TrainingPoint) -> None:
        """Takes in a point of the curves of a task, in order; a task that was interrupted may repeat steps."""
        ...

    def on_heartbeats(self, heartbeats: Iterable[Heartbeat]) -> None:
        """Takes in heartbeats of some ranks."""
        ...

    def close(self) -> None:
        """Writes what is left and frees all resources; no other call follows."""
        ...


class IgnoringSink:
    """A `Sink` that ignores everything: the base of sinks that need only some of the calls."""

    def on_event(self, event: RunEvent, at: float) -> None:
        """See `Sink`."""

    def on_progress(self, progress: StepProgress) -> None:
        """See `Sink`."""

    def on_point(self, task: str, point: TrainingPoint) -> None:
        """See `Sink`."""

    def on_heartbeats(self, heartbeats: Iterable[Heartbeat]) -> None:
        """See `Sink`."""

    def close(self) -> None:
        """See `Sink`."""
