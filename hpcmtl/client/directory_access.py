"""A run by its run directory, from any host that sees it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any, cast

from hpcmtl.client.resuming import resume_by_command
from hpcmtl.errors import InputError, Problem, nearest
from hpcmtl.pipeline.live.watch import diagnose_run
from hpcmtl.pipeline.run.result import task_result
from hpcmtl.results.curves.reader import read_points
from hpcmtl.results.logs.files import LogReader, Wanted
from hpcmtl.results.outcome.record import record_of
from hpcmtl.results.outcome.summary import JobResult, from_dict
from hpcmtl.results.run_state import read_run_state
from hpcmtl.results.rundir.requests import new_request

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from hpcmtl.results.curves.point import TrainingPoint
    from hpcmtl.results.logs.lines import LogLine
    from hpcmtl.results.outcome.summary import JobStatus
    from hpcmtl.results.run_state import RunState
    from hpcmtl.results.rundir.directory import RunDirectory

_ENDS = frozenset({"complete", "failed", "incomplete"})


@dataclass(frozen=True)
class DirectoryAccess:
    """A way to a run by its directory; see `RunAccess`.

    Attributes:
        directory: the run directory.
    """

    directory: RunDirectory

    @property
    def place(self) -> str:
        """See `RunAccess`."""
        return str(self.directory.path)

    def diagnosis(self) -> Mapping[str, Any]:
        """See `RunAccess`."""
        return diagnose_run(self.directory.path)

    def result(self) -> JobResult:
        """See `RunAccess`: the completion record of the last attempt, else what the ledger has."""
        state = read_run_state(self.directory.ledger_file)
        record = record_of(self.directory, state.attempt)
        if record is not None and state.attempt.number:
            try:
                return from_dict(record)
            except (AttributeError, KeyError, TypeError, ValueError):  # of another version: the ledger has the same
                record = None
        return _result_so_far(self.diagnosis(), state)

    def points(self, task: str) -> Sequence[TrainingPoint]:
        """See `RunAccess`."""
        return read_points(self.directory.curve_file(task))

    def log_lines(self, rank: int | None, task: str) -> Sequence[LogLine]:
        """See `RunAccess`."""
        known = self.diagnosis()["tasks"]
        if task and task not in known:
            raise InputError([Problem(f"{self.place}: {task}", f"there is no such task{nearest(task, known)}")])
        reader = LogReader(self.directory, Wanted(rank, task, debug=bool(task) or rank is not None))
        reader.require()
        return reader.read(last=True)

    def change(self, verb: str, task: str, values: Mapping[str, Any], timeout: float) -> str:
        """See `RunAccess`."""
        from hpcmtl.pipeline.live.ask import ask, check
        from hpcmtl.pipeline.live.cancel import cancel_job

        if not task:
            return cancel_job(self.directory, timeout).message
        request = new_request(verb, task, values)
        check(self.directory, request)
        answer = ask(self.directory, request, timeout)
        if answer is None:
            return f"the request is {self.directory.requests / request.id}.json"
        if not answer.accepted:
            raise InputError([Problem(f"{verb} {task}", f"refused: {answer.message}")])
        return answer.message

    def artifact_file(self, task: str) -> Path:
        """See `RunAccess`."""
        return self.directory.artifacts / f"{task}.h5"

    def resume(self, ranks: int | None, *, wait: bool) -> None:
        """See `RunAccess`."""
        resume_by_command(self.directory, ranks, wait=wait)


def _result_so_far(status: Mapping[str, Any], state: RunState) -> JobResult:
    """Returns the results of a run that has no completion record, from its ledger."""
    started = status["started"]
    return JobResult(
        job=status["job"],
        status=cast("JobStatus", status["status"]) if status["status"] in _ENDS else "stopped",
        started="" if started is None else _iso(started),
        seconds=status["seconds"],
        ranks=status["ranks"],
        tasks=tuple(task_result(name, each["kind"], state.task(name)) for name, each in status["tasks"].items()),
        attempt=state.attempt.number,
        attempt_id=state.attempt.id,
        directory=status["run"],
    )


def _iso(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, timezone.utc).astimezone().isoformat(timespec="seconds")
