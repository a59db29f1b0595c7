"""`hpcmtl report`: one HTML file that tells of a run, or compares several."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hpcmtl.cli.arguments import RunsDirectory, require_folder

ReportedRuns = Annotated[
    list[Path] | None,
    typer.Argument(
        metavar="RUN...",
        help="Run directories, names of jobs, or latest (the default); several are compared.",
        show_default=False,
        readable=False,
    ),
]
ReportFile = Annotated[
    Path | None,
    typer.Option(
        "--out", "-o", metavar="FILE", help="The file; default: report.html in the first run.", show_default=False
    ),
]


def report(names: ReportedRuns = None, out: ReportFile = None, runs: RunsDirectory = Path("runs")) -> None:
    """Write the report of runs: one HTML file that opens in any browser, without a network."""
    from hpcmtl.errors import naming_no_permission
    from hpcmtl.report.page import FILE, write_report
    from hpcmtl.results.rundir.directory import RunDirectory
    from hpcmtl.results.rundir.find import LATEST, find_run, told_apart

    found = [find_run(name, runs) for name in names or [Path(LATEST)]]
    file = found[0].path / FILE if out is None else out
    require_folder("--out", file)
    shown = told_apart((path.name, RunDirectory(path)) for path in (run.path.resolve() for run in found))
    with naming_no_permission():
        write_report(shown, file)
    typer.echo(file)
