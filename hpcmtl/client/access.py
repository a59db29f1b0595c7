"""Protocol of the ways to a run: its directory, or a server that serves it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from hpcmtl.results.curves.point import TrainingPoint
    from hpcmtl.results.logs.lines import LogLine
    from hpcmtl.results.outcome.summary import JobResult


class RunAccess(Protocol):
    """A way to one run. Each call reads the newest state."""

    @property
    def place(self) -> str:
        """Run directory or address, for messages."""
        ...

    def diagnosis(self) -> Mapping[str, Any]:
        """Returns the values of `hpcmtl status --json`."""
        ...

    def result(self) -> JobResult:
        """Returns the results of all tasks so far."""
        ...

    def points(self, task: str) -> Sequence[TrainingPoint]:
        """Returns the points of the curves of a task so far."""
        ...

    def log_lines(self, rank: int | None, task: str) -> Sequence[LogLine]:
        """Returns the lines of logs, as `hpcmtl logs` shows them.

        Args:
            rank: rank whose log is read; None for that of the run.
            task: task that the lines concern; empty for all.

        Raises:
            InputError: there is no such log.
        """
        ...

    def change(self, verb: str, task: str, values: Mapping[str, Any], timeout: float) -> str:
        """Sends a request to the running job and returns its reply.

        Args:
            verb: ``set``, ``pause``, ``unpause`` or ``cancel``.
            task: name of the task; empty for the whole job.
            values: values of ``set``.
            timeout: seconds to wait for the reply; 0 does not wait.

        Raises:
            InputError: the request is refused.
            EnvironmentUnfitError: the run has ended, or does not reply.
        """
        ...

    def artifact_file(self, task: str) -> Path:
        """Returns the file of the artifact of a task; it need not exist.

        Raises:
            InputError: this way to the run gives no files.
        """
        ...

    def resume(self, ranks: int | None, *, wait: bool) -> None:
        """Continues the run.

        Args:
            ranks: number of ranks; None for that of the job.
            wait: whether to return only when the attempt has ended.

        Raises:
            InputError: the run cannot be continued.
            EnvironmentUnfitError: no ranks can be started here.
        """
        ...
