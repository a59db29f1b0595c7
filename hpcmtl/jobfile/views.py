"""Views of a job: a task that reads several sources of samples, seen as one that reads each of them alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hpcmtl.jobfile.schema import Job

SOURCES = "sources"
"""The key of a task."""
_OF_SOURCE = ("input", "target", "mask", "sample_weights")


@dataclass(frozen=True)
class JobView:
    """A job in which one task reads the arrays of one source, side by side, as a task with a single source does.

    Attributes:
        job: the job; only this task differs from the job as it was written.
        source: name of the source; empty for a task with a single one, whose job is the written one.
    """

    job: Job
    source: str = ""

    @property
    def here(self) -> tuple[str, ...]:
        """Path of the source in the task as it was written; empty for a single one."""
        return (SOURCES, self.source) if self.source else ()

    def path(self, inner: tuple[str, ...]) -> tuple[str, ...]:
        """Returns the path, in the task as it was written, of a key of the task in this job."""
        if not self.source or not inner:
            return inner
        if inner[0] in _OF_SOURCE:
            return (SOURCES, self.source, *inner)
        if inner[0] == "heads" and len(inner) > 2 and inner[2] in _OF_SOURCE:
            return (SOURCES, self.source, f"{inner[2]}s", inner[1])
        return inner


def is_input(path: tuple[str, ...]) -> bool:
    """Returns true for the path of keys, inside a task, of an array that its network takes."""
    return (path[2:] if path[:1] == (SOURCES,) else path)[:1] == ("input",)
