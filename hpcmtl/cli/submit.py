"""`hpcmtl submit`: give a job to Slurm."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from hpcmtl.cli.arguments import JobFile, Json, RunsDirectory
from hpcmtl.launch import slurm
from hpcmtl.layerplan.render import print_plan
from hpcmtl.pipeline.submit import Draft, Request, draft, settings_for
from hpcmtl.pipeline.submit import submit as submit_draft

_Text = str | None
_Number = int | None


def _option(name: str, help_: str, **more: Any) -> Any:
    return typer.Option(name, help=help_, show_default=False, **more)


def submit(  # noqa: PLR0917 - each is a word of the command line, given by name
    file: JobFile,
    nodes: Annotated[_Number, _option("--nodes", "Number of nodes.", min=1)] = None,
    ntasks_per_node: Annotated[_Number, _option("--ntasks-per-node", "Ranks of a node.", min=1)] = None,
    cpus_per_task: Annotated[_Number, _option("--cpus-per-task", "Cores for each rank.", min=1)] = None,
    time: Annotated[_Text, _option("--time", "Time limit of an attempt: 45m, 1h30m, 2-00:00:00.")] = None,
    partition: Annotated[_Text, _option("--partition", "Partition.")] = None,
    account: Annotated[_Text, _option("--account", "Account that is charged.")] = None,
    qos: Annotated[_Text, _option("--qos", "Quality of service.")] = None,
    site: Annotated[_Text, _option("--site", "Site profile, by name or as a file.")] = None,
    launcher: Annotated[_Text, _option("--launcher", "mpirun or srun.")] = None,
    sets: Annotated[list[str] | None, _option("--set", "Change the job: tasks.a.epochs=5.", metavar="KEY=V")] = None,
    requeues: Annotated[_Number, _option("--requeues", "Further attempts after a stop or a loss.", min=0)] = None,
    no_requeue: Annotated[bool, typer.Option("--no-requeue", help="One attempt only.")] = False,
    extra: Annotated[list[str] | None, _option("--extra", "A further directive: --constraint=icelake.")] = None,
    omit: Annotated[list[str] | None, _option("--omit", "A directive to leave out.")] = None,
    runs: RunsDirectory = Path("runs"),
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the script and the plan; write nothing.")] = False,
    show_config: Annotated[bool, typer.Option("--show-config", help="Say where each setting comes from.")] = False,
    parsable: Annotated[bool, typer.Option("--parsable", help="Print nothing but the job id.")] = False,
    as_json: Json = False,
) -> None:
    """Check and plan a job, write its batch script into a new run directory, and give it to Slurm."""
    options = {
        "nodes": nodes, "ntasks_per_node": ntasks_per_node, "cpus_per_task": cpus_per_task, "time": time,
        "partition": partition, "account": account, "qos": qos, "site": site, "launcher": launcher,
        "requeues": 0 if no_requeue else requeues, "extra": extra, "omit": omit,
    }
    request = Request(file, runs, options, tuple(sets or ()))
    if show_config:
        _show(settings_for(request).to_dict(), as_json=as_json)
        return
    made = draft(request)
    if dry_run:
        _dry_run(made, as_json=as_json)
        return
    record = submit_draft(made)
    typer.echo(record["job"])


def _show(told: dict[str, dict[str, Any]], *, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(told, indent=2))
        return
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False)
    for heading in ("setting", "value", "from"):
        table.add_column(heading, overflow="fold")
    for key, entry in told.items():
        value = entry["value"]
        table.add_row(key, "\n".join(map(str, value)) if isinstance(value, list) else str(value), entry["from"])
    Console().print(table)


def _dry_run(made: Draft, *, as_json: bool) -> None:
    script = made.script()
    typer.echo(script, nl=False)
    console = Console(stderr=True)
    print_plan(made.points[0].plan, console)
    for line in made.warnings:
        typer.echo(f"hpcmtl: {line}", err=True)
    if slurm.installed():
        answer = slurm.test_only(script)
        typer.echo(f"hpcmtl: sbatch --test-only: {answer.said or 'accepted'}", err=True)
