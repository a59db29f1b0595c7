"""Task sources: they add tasks to a running job, for instance for ``hpcmtl add`` or for a search over settings."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from hpcmtl.dispatch.protocol import ExtendJob
    from hpcmtl.layerplan.plan import LayerPlan
    from hpcmtl.results.events import RunEvent
    from hpcmtl.results.rundir.requests import Answer
    from hpcmtl.taskgraph.graph import TaskGraph


@dataclass(frozen=True, kw_only=True)
class ExtendedJob:
    """A checked job with more tasks than the running one.

    Attributes:
        plan: plan of all tasks, the present ones included.
        graph: graph of all tasks.
        extension: command that tells the ranks of the new tasks.
    """

    plan: LayerPlan
    graph: TaskGraph
    extension: ExtendJob


class TaskSource(Protocol):
    """Adds tasks to a running job; all methods are called by the control thread of rank 0 and return at once.

    The coordinator passes on every event of the dispatcher (`on_event`), and asks now and then for tasks (`poll`). Each
    job that `poll` returns gets one answer (`answered`) before the next call of `poll`. The job does not end while a
    source is not `exhausted`. An event that ends the last task arrives after the job has ended. So a source that adds
    a task after another one has ended is not exhausted until then.
    """

    @property
    def exhausted(self) -> bool:
        """Returns whether the source expects to add nothing more, so that the job may end."""
        ...

    def poll(self, now: float) -> ExtendedJob | None:
        """Returns the job with more tasks, or None while there is nothing to add; `now` is in seconds."""
        ...

    def answered(self, answer: Answer | None) -> None:
        """Takes the answer to the job that `poll` returned last.

        Args:
            answer: None if the job has got other tasks since the source looked at it; `poll` may then return a new
                proposal that includes them.
        """
        ...

    def on_event(self, event: RunEvent) -> None:
        """Takes note of an event of the dispatcher, after the step in which it was recorded."""
        ...

    def close(self) -> None:
        """Ends the source with the run; what has not been added yet is refused."""
        ...


@dataclass
class TaskSources:
    """The task sources of a job, and the events that they have not seen.

    Attributes:
        sources: the task sources, in the order in which they are asked.
    """

    sources: tuple[TaskSource, ...] = ()
    _events: list[RunEvent] = field(default_factory=list)

    @property
    def exhausted(self) -> bool:
        """Returns whether no source may add more tasks, so that the job may end."""
        return all(source.exhausted for source in self.sources)

    def note(self, event: RunEvent) -> None:
        """Keeps an event until `deliver`."""
        if self.sources:
            self._events.append(event)

    def deliver(self) -> None:
        """Passes the events since the last call on to all sources."""
        events, self._events = self._events, []
        for source in self.sources:
            for event in events:
                source.on_event(event)
