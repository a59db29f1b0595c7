"""The report of runs: one HTML file that needs no network, no other file, and no JavaScript to be read."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import jinja2

from hpcmtl._version import __version__
from hpcmtl.report.facts.read import read_job, read_overview
from hpcmtl.report.sections import (
    MOST_EVENTS,
    curves,
    drawings,
    environment_rows,
    figures,
    metric_rows,
    story,
    time_rows,
)
from hpcmtl.results import comparison
from hpcmtl.results.run_state import read_run_state
from hpcmtl.results.rundir.directory import write_text_atomically

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hpcmtl.results.rundir.directory import RunDirectory

FILE = "report.html"
"""Name of the report in a run directory."""
_TEMPLATES = Path(__file__).parent / "templates"


def write_report(runs: Mapping[str, RunDirectory], file: Path) -> None:
    """Writes the report of some runs, by the names that it shows; the file is whole or as it was.

    Raises:
        InputError: a run directory is damaged.
        NoSpaceError: the disk is full.
    """
    write_text_atomically(file, report_html(runs))


def report_html(runs: Mapping[str, RunDirectory]) -> str:
    """Returns the report of some runs as HTML.

    Raises:
        InputError: a run directory is damaged.
    """
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_TEMPLATES),
        autoescape=True,  # names and messages are users' texts
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    told = [_told(name, run) for name, run in runs.items()]
    compared = _comparison(runs) if len(runs) > 1 else None
    return environment.get_template(FILE).render(runs=told, comparison=compared, version=__version__)


def _told(name: str, run: RunDirectory) -> dict[str, Any]:
    """Returns the values of a run for the template."""
    overview = read_overview(run)
    charts, left_out = curves(run, overview)
    return {
        "name": name,
        "summary": overview.summary,
        "story": story(overview),
        "figures": figures(overview),
        "sections": list(drawings(overview)),
        "curves": charts,
        "curves_text": left_out,
        "time_rows": time_rows(overview),
        "rows": metric_rows(overview),
        "events": overview.notable[:MOST_EVENTS],
        "more_events": max(len(overview.notable) - MOST_EVENTS, 0),
        "environment": environment_rows(overview),
    }


def _comparison(runs: Mapping[str, RunDirectory]) -> comparison.Comparison:
    facts = [
        comparison.compared_run(name, read_job(run), read_run_state(run.ledger_file)) for name, run in runs.items()
    ]
    return comparison.compare(facts)
