"""The subcommands of `hpcmtl`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hpcmtl._version import __version__
from hpcmtl.cli import (
    add,
    cancel,
    compare,
    conclude,
    data,
    doctor,
    export,
    history,
    logs,
    manual,
    plan,
    prune,
    report,
    run,
    schema,
    status,
    steer,
    submit,
    validate,
    verify,
)
from hpcmtl.cli.arguments import HostFile, Hosts, Json, RunsDirectory
from hpcmtl.cli.help import VerbCommand, VerbGroup

app = typer.Typer(
    name="hpcmtl",
    cls=VerbGroup,
    help="One batch job for a family of dependent training tasks.",
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Exit codes: 0 complete, 1 a task failed, 2 bad input, 3 unfit environment, 75 stopped and resumable, "
    "124 `wait` timed out.",
)
app.command("validate", cls=VerbCommand)(validate.validate)
app.command("schema", cls=VerbCommand)(schema.schema)
app.command("plan", cls=VerbCommand)(plan.plan)
app.command("run", cls=VerbCommand)(run.run)
app.command("submit", cls=VerbCommand)(submit.submit)
app.command("conclude", cls=VerbCommand)(conclude.conclude)
app.command("resume", cls=VerbCommand)(run.resume)
app.command("status", cls=VerbCommand)(status.status)
app.command("logs", cls=VerbCommand)(logs.logs)
app.command("wait", cls=VerbCommand)(status.wait)
app.command("history", cls=VerbCommand)(history.history)
app.command("report", cls=VerbCommand)(report.report)
app.command("compare", cls=VerbCommand)(compare.compare)
app.command("prune", cls=VerbCommand)(prune.prune)
app.command("verify", cls=VerbCommand)(verify.verify)
app.command("add", cls=VerbCommand)(add.add)
app.command("set", cls=VerbCommand)(steer.set_)
app.command("pause", cls=VerbCommand)(steer.pause)
app.command("unpause", cls=VerbCommand)(steer.unpause)
app.command("cancel", cls=VerbCommand)(cancel.cancel)
app.add_typer(data.app, name="data")
app.add_typer(export.app, name="export")
app.command("help", cls=VerbCommand)(manual.help_)


@app.command("doctor", cls=VerbCommand)
def _doctor(
    runs: RunsDirectory = Path("runs"), as_json: Json = False, hosts: Hosts = None, hostfile: HostFile = None
) -> None:
    """Check that this machine and installation can run jobs, and show a remedy for each failed check."""
    raise typer.Exit(doctor.doctor(runs, hosts, hostfile, as_json=as_json))


def _version(requested: bool) -> None:
    if requested:
        typer.echo(f"hpcmtl {__version__}")
        raise typer.Exit


@app.callback()
def _main(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """One batch job for a family of dependent training tasks."""
