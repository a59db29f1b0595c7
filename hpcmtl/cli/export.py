"""`hpcmtl export`: a run in the formats of other programs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hpcmtl.cli.arguments import Run, RunsDirectory
from hpcmtl.cli.help import VerbCommand, VerbGroup

app = typer.Typer(
    name="export",
    cls=VerbGroup,
    help="Write a run in the format of another program.",
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)
Experiment = Annotated[
    str | None,
    typer.Option("--experiment", metavar="NAME", help="Experiment; the job's name if absent.", show_default=False),
]


@app.command("trace", cls=VerbCommand)
def trace(run: Run, runs: RunsDirectory = Path("runs")) -> None:
    """Write trace.json into the run directory: layers on ranks, planned and actual, for Perfetto or chrome://tracing."""
    from hpcmtl.errors import naming_no_space
    from hpcmtl.report.trace import write_trace
    from hpcmtl.results.rundir.find import find_run

    directory = find_run(run, runs)
    with naming_no_space(directory.trace_file):
        write_trace(directory)
    typer.echo(str(directory.trace_file))


@app.command("mlflow", cls=VerbCommand)
def mlflow(run: Run, experiment: Experiment = None, runs: RunsDirectory = Path("runs")) -> None:
    """Log a run to your MLflow (MLFLOW_TRACKING_URI): parameters, curves and metrics, one MLflow run a task."""
    from hpcmtl.report.mlflow import log_run
    from hpcmtl.results.rundir.find import find_run

    found = log_run(find_run(run, runs), experiment)
    typer.echo(f"{found.location}: experiment {found.experiment}, {found.runs} runs")
