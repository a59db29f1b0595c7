"""The report that an attempt leaves in its run directory."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hpcmtl.results.rundir.directory import RunDirectory

_log = logging.getLogger(__name__)


def write_end_report(run: RunDirectory) -> None:
    """Writes the report of a run that has ended; a failure is logged, since the results of the run are on disk."""
    try:
        from hpcmtl.report.page import FILE, write_report

        write_report({run.path.name: run}, run.path / FILE)
    except Exception as error:  # noqa: BLE001 - whatever it is, the run has its results
        _log.warning("%s: no report was written (%s); `hpcmtl report` makes it later", run.path, error)
