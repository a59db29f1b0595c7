"""Progress of a run from its plan and its ledger, read once or again and again."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from hpcmtl.errors import InputError, Problem
from hpcmtl.results.ledger_tail import LedgerTail
from hpcmtl.results.run_state import RunState
from hpcmtl.results.status.job_progress import JobProgress

if TYPE_CHECKING:
    from pathlib import Path

    from hpcmtl.results.rundir.directory import RunDirectory


class ProgressReader:
    """Reads the progress of one run; each time after the first only what is new in its ledger.

    Args:
        run: the run directory.
    """

    def __init__(self, run: RunDirectory) -> None:
        self._run = run
        self._tail = LedgerTail(run.ledger_file)
        self._progress: JobProgress | None = None
        self._plan: tuple[int, ...] = ()

    def read(self, *, submitted: bool) -> JobProgress:
        """Returns the progress; the same object each time, with what has happened since.

        Args:
            submitted: whether the run was submitted as a batch job, so that it may have no plan yet.

        Raises:
            InputError: this is no run directory, or its plan or ledger is damaged.
        """
        mark = _mark(self._run.plan_file)
        entries = None if mark != self._plan else self._tail.new_entries()
        if self._progress is None or entries is None:
            self._tail, self._plan, self._progress = LedgerTail(self._run.ledger_file), mark, None
            entries = self._tail.new_entries() or []
        if self._progress is None:
            if submitted and self._run.job_file.exists() and not mark and not entries:
                return JobProgress(RunState(), {})
            self._progress = _begin(self._run)
        for entry in entries:
            self._progress.state.take(entry.event, entry.at)
        return self._progress


def read_object(path: Path) -> dict[str, Any] | None:
    """Returns the JSON object in a file; None if the file is missing or holds no object."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return value if isinstance(value, dict) else None


def _begin(run: RunDirectory) -> JobProgress:
    """Returns the progress of a run by its plan, before any event."""
    if not run.plan_file.exists() and not run.ledger_file.exists():
        missing = f"it has neither {run.plan_file.name} nor {run.ledger_file.name}"
        raise InputError([Problem(str(run.path), f"this is no run directory: {missing}")])
    plan = read_object(run.plan_file)
    if plan is None:
        raise InputError([Problem(str(run.plan_file), "there is no plan in it, without which no task is known")])
    try:
        return JobProgress.of_plan(plan)
    except (AttributeError, KeyError, OverflowError, TypeError, ValueError) as error:
        message = f"this is no plan that this version of hpcmtl can read ({error})"
        raise InputError([Problem(str(run.plan_file), message)]) from error


def _mark(path: Path) -> tuple[int, ...]:
    """Returns what changes if a file is replaced; nothing for a file that is not there."""
    try:
        found = path.stat()
    except OSError:
        return ()
    return found.st_ino, found.st_size, found.st_mtime_ns
