"""The pages and traces that an attempt leaves in its run directory."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from hpcmtl.jobfile.schema import Job
    from hpcmtl.results.rundir.directory import RunDirectory

_log = logging.getLogger(__name__)


def write_end_files(run: RunDirectory, job: Job) -> None:
    """Writes report and trace of a run that has ended, as its job asks for them.

    A failure is logged, since the results of the run are on disk.
    """
    if job.report != "never":
        _attempt(run, "report", _write_report)
    if "trace" in job.track:
        _attempt(run, "export trace", _write_trace)


def _attempt(run: RunDirectory, command: str, write: Callable[[RunDirectory], None]) -> None:
    try:
        write(run)
    except Exception as error:  # noqa: BLE001 - whatever it is, the run has its results
        _log.warning("%s: no file was written (%s); `hpcmtl %s` makes it later", run.path, error, command)


def _write_report(run: RunDirectory) -> None:
    from hpcmtl.report.page import FILE, write_report

    write_report({run.path.name: run}, run.path / FILE)


def _write_trace(run: RunDirectory) -> None:
    from hpcmtl.report.trace import write_trace

    write_trace(run)
