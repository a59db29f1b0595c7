"""One run: its state, tasks and logs, and requests to change it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hpcmtl.client.handles import TaskHandles
from hpcmtl.client.html import table_of
from hpcmtl.client.task import REPLY_SECONDS, TaskHandle
from hpcmtl.client.waiting import wait_for_end

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hpcmtl.client.access import RunAccess
    from hpcmtl.results.logs.lines import LogLine
    from hpcmtl.results.outcome.summary import JobResult


class RunHandle:
    """One run; all values are read when they are asked for. ``run["digit"]`` is ``run.tasks["digit"]``.

    Args:
        access: way to the run.
        final: result of a run that has ended in this process; None to read the newest.
    """

    def __init__(self, access: RunAccess, final: JobResult | None = None) -> None:
        self._access, self._final = access, final

    def __repr__(self) -> str:
        return f"<run {self._access.place}: {self.status}>"

    def _repr_html_(self) -> str:
        """Returns a table of the tasks for a notebook; all texts are escaped."""
        return table_of(self.job, self.status, self.tasks)

    def __getitem__(self, task: str) -> TaskHandle:
        """Returns a task by its name.

        Raises:
            KeyError: the run has no such task.
        """
        return self.tasks[task]

    @property
    def place(self) -> str:
        """Run directory, or address of the run on a server."""
        return self._access.place

    @property
    def result(self) -> JobResult:
        """The results of all tasks so far."""
        return self._final or self._access.result()

    @property
    def diagnosis(self) -> Mapping[str, Any]:
        """The values of `hpcmtl status --json`: progress of each task, nodes, expected end and more."""
        return self._access.diagnosis()

    @property
    def status(self) -> str:
        """State of the run, such as ``running`` or ``complete``; the words of `hpcmtl status`."""
        return self._final.status if self._final is not None else str(self.diagnosis["state"])

    @property
    def tasks(self) -> TaskHandles:
        """The tasks in the order of the job, by name or number."""
        return TaskHandles(TaskHandle(each.name, self._access, self._final) for each in self.result.tasks)

    @property
    def job(self) -> str:
        """Name of the job."""
        return self.result.job

    @property
    def ranks(self) -> int:
        """Size of the world of the last attempt."""
        return self.result.ranks

    @property
    def started(self) -> str:
        """ISO 8601 time of the start of the last attempt; empty before it."""
        return self.result.started

    @property
    def seconds(self) -> float:
        """Seconds of the last attempt so far."""
        return self.result.seconds

    @property
    def attempt(self) -> int:
        """Number of the last attempt, from 1; 0 before it."""
        return self.result.attempt

    @property
    def attempt_id(self) -> str:
        """Name of the last attempt in the batch script; empty for none."""
        return self.result.attempt_id

    @property
    def message(self) -> str:
        """Reason why the job did not complete, where no task is the cause."""
        return self.result.message

    def wait(self, timeout: float | None = None) -> str:
        """Waits until the run has ended, and returns its status; a run that failed is no error here.

        Args:
            timeout: largest number of seconds to wait; None for no limit.

        Raises:
            TimeoutError: the run has not ended in time.
        """
        if self._final is not None:
            return self._final.status
        return wait_for_end(self._access, timeout)

    def logs(self, rank: int | None = None, task: str = "") -> list[LogLine]:
        """Returns lines of the logs, as `hpcmtl logs` shows them.

        Args:
            rank: rank whose log is read; None for the output of the run.
            task: name of a task that the lines concern; empty for all.

        Raises:
            InputError: there is no such log.
        """
        return list(self._access.log_lines(rank, task))

    def cancel(self, timeout: float = REPLY_SECONDS) -> str:
        """Ends the run with checkpoints; returns the reply.

        Args:
            timeout: seconds to wait for the reply; 0 does not wait.

        Raises:
            EnvironmentUnfitError: the run has ended, or does not reply.
        """
        return self._access.change("cancel", "", {}, timeout)

    def resume(self, ranks: int | None = None, *, wait: bool = True) -> RunHandle:
        """Continues a run that stopped, failed or died, as `hpcmtl resume`; complete tasks do not run again.

        The ranks are started on this machine, or in the allocation of Slurm that this process belongs to.

        Args:
            ranks: number of ranks; that of the job by default.
            wait: whether to return only when the attempt has ended; otherwise follow it by `wait` and `status`.

        Returns:
            The run, with its new state.

        Raises:
            InputError: the run cannot be continued.
            EnvironmentUnfitError: it runs already, or no ranks can be started here.
        """
        self._access.resume(ranks, wait=wait)
        return RunHandle(self._access)
