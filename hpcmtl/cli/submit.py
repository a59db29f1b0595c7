"""`hpcmtl submit`: submit a job to Slurm."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hpcmtl.cli.arguments import JobFile, Json, RunsDirectory
from hpcmtl.errors import EnvironmentUnfitError

if TYPE_CHECKING:
    from hpcmtl.pipeline.batch.draft import Draft, Kind, Point

_Text = str | None
_Texts = list[str] | None
_Number = int | None


def _option(name: str, help_: str, **more: Any) -> Any:
    return typer.Option(name, help=help_, show_default=False, **more)


def _flag(name: str, help_: str) -> Any:
    return typer.Option(name, help=help_)


def submit(  # noqa: PLR0917 - options of the command line, given by name
    file: JobFile,
    nodes: Annotated[_Number, _option("--nodes", "Number of nodes.", min=1)] = None,
    ntasks_per_node: Annotated[_Number, _option("--ntasks-per-node", "Ranks per node.", min=1)] = None,
    cpus_per_task: Annotated[_Number, _option("--cpus-per-task", "Cores for each rank.", min=1)] = None,
    gpus_per_task: Annotated[_Number, _option("--gpus-per-task", "GPUs for each rank.", min=1)] = None,
    time: Annotated[_Text, _option("--time", "Time limit of an attempt: 45m, 1h30m, 2-00:00:00.")] = None,
    partition: Annotated[_Text, _option("--partition", "Partition.")] = None,
    account: Annotated[_Text, _option("--account", "Account to charge.")] = None,
    qos: Annotated[_Text, _option("--qos", "Quality of service.")] = None,
    site: Annotated[_Text, _option("--site", "Site profile, by name or as a file.")] = None,
    launcher: Annotated[_Text, _option("--launcher", "Launcher of the ranks: mpirun or srun.")] = None,
    sets: Annotated[_Texts, _option("--set", "Change the job: tasks.a.epochs=5.", metavar="KEY=V[,V]")] = None,
    array: Annotated[bool, _flag("--array", "One run per combination of the values in --set.")] = False,
    throttle: Annotated[_Number, _option("--throttle", "Points of a sweep that run at once.", min=1)] = None,
    benchmark: Annotated[_Text, _option("--benchmark", "Run the job on 1,2,4 ranks, one after another.")] = None,
    requeues: Annotated[_Number, _option("--requeues", "Further attempts after a stop or a loss.", min=0)] = None,
    no_requeue: Annotated[bool, _flag("--no-requeue", "One attempt only.")] = False,
    extra: Annotated[_Texts, _option("--extra", "Additional directive: --constraint=icelake.")] = None,
    omit: Annotated[_Texts, _option("--omit", "Directive to leave out.")] = None,
    runs: RunsDirectory = Path("runs"),
    dry_run: Annotated[bool, _flag("--dry-run", "Print the script, and the plan on stderr; write nothing.")] = False,
    test_only: Annotated[bool, _flag("--test-only", "Let Slurm check the script; write nothing.")] = False,
    show_config: Annotated[bool, _flag("--show-config", "Show the source of each setting.")] = False,
    parsable: Annotated[bool, _flag("--parsable", "Print only job ids.")] = False,
    as_json: Json = False,
) -> None:
    """Check and plan a job, write its batch script into a new run directory, and submit it to Slurm."""
    from hpcmtl.pipeline.batch.draft import SubmitRequest, draft, settings_for
    from hpcmtl.pipeline.batch.submit import submit as submit_draft

    options: dict[str, Any] = {key: value for key, value in locals().items() if key in _SETTINGS and value is not None}
    if no_requeue:
        options["requeues"] = 0
    request = SubmitRequest(file, runs, options, tuple(sets or ()), _kind(array, benchmark), _widths(benchmark))
    if show_config:
        _show(settings_for(request).to_dict(), as_json=as_json)
        return
    made = draft(request)
    if test_only:
        _test(made)
    elif dry_run:
        _dry_run(made, as_json=as_json)
    else:
        _print_submission(made, submit_draft(made), parsable=parsable, as_json=as_json)


_SETTINGS = frozenset({"site", "nodes", "ntasks_per_node", "cpus_per_task", "time", "partition", "account", "qos"})
_SETTINGS |= {"gpus_per_task", "launcher", "throttle", "requeues", "extra", "omit"}


def _kind(array: bool, benchmark: str | None) -> Kind:
    if array and benchmark is not None:
        raise typer.BadParameter("does not go with --array", param_hint="--benchmark")
    return "array" if array else "run" if benchmark is None else "benchmark"


def _widths(text: str | None) -> tuple[int, ...]:
    if text is None:
        return ()
    words = text.split(",")
    if not all(word.strip().isdigit() and int(word) > 0 for word in words):
        raise typer.BadParameter(f"{text!r} is no list of numbers of ranks; write 1,2,4", param_hint="--benchmark")
    return tuple(int(word) for word in words)


def _show(found: dict[str, dict[str, Any]], *, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(found, indent=2))
        return
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False)
    for heading in ("setting", "value", "from"):
        table.add_column(heading, overflow="fold")
    for key, entry in found.items():
        value = entry["value"]
        table.add_row(key, "\n".join(map(str, value)) if isinstance(value, list) else str(value), entry["from"])
    Console(width=None if sys.stdout.isatty() else 160).print(table)


def _test(made: Draft) -> None:
    """Lets Slurm check the script."""
    from hpcmtl.launch.slurm import client as slurm

    reply = slurm.test_only(made.script())
    if not reply.ok:
        raise EnvironmentUnfitError(f"sbatch --test-only: {reply.message}")
    typer.echo(reply.message, err=True)


def _dry_run(made: Draft, *, as_json: bool) -> None:
    """Prints the exact script on stdout and everything else on stderr, or all as JSON."""
    from rich.console import Console

    from hpcmtl.launch.slurm import client as slurm
    from hpcmtl.layerplan.report.render import print_plan

    script = made.script()
    reply = slurm.test_only(script) if slurm.installed() else None
    if as_json:
        found = {
            "script": script,
            "plan": _shown(made).plan.to_dict(),
            "points": {name: point.change for name, point in zip(made.point_names(), made.points, strict=True)},
            "warnings": list(made.warnings),
            "settings": made.settings.to_dict(),
            "test_only": None if reply is None else {"accepted": reply.ok, "message": reply.message},
        }
        typer.echo(json.dumps(found, indent=2))
        return
    typer.echo(script, nl=False)
    sys.stdout.flush()
    shown = _shown(made)
    print_plan(shown.plan, Console(stderr=True))
    if made.request.kind == "benchmark":
        widths = ", ".join(str(point.prepared.job.ranks) for point in made.points)
        most = shown.prepared.job.ranks
        typer.echo(f"hpcmtl: runs on {widths} ranks, one after another; the plan is that of {most} ranks", err=True)
    elif len(made.points) > 1:
        typer.echo(f"hpcmtl: {len(made.points)} points; the plan is that of the first", err=True)
    _warn(made)
    typer.echo(f"hpcmtl: {_files(made)}", err=True)
    if reply is not None:
        typer.echo(f"hpcmtl: sbatch --test-only: {reply.message or 'accepted'}", err=True)


def _shown(made: Draft) -> Point:
    """Returns the point whose plan is shown: the widest of a benchmark, for which the allocation is; else the first."""
    return max(made.points, key=lambda point: point.prepared.job.ranks)


def _print_submission(made: Draft, record: dict[str, Any], *, parsable: bool, as_json: bool) -> None:
    from hpcmtl.results.format import counted

    _warn(made)
    if not (parsable or as_json):
        typer.echo(f"hpcmtl: {_files(made)}", err=True)
    jobs = ", ".join(record["jobs"])
    if as_json:
        typer.echo(json.dumps(record, indent=2))
    elif parsable:
        typer.echo("\n".join(record["jobs"]))
    else:
        typer.echo(f"job {jobs}: {record['run']}")
        more = record["requeues"]
        again = f"up to {counted(more, 'further attempt')}" if more else "no further attempt"
        typer.echo(f"hpcmtl: {counted(record['ranks'], 'rank')}, {again}; hpcmtl status {record['run']}", err=True)


def _files(made: Draft) -> str:
    runs = "the run makes" if len(made.points) == 1 else f"the {len(made.points)} runs make"
    return f"{runs} up to {made.files:,} files and folders in {made.request.runs}"


def _warn(made: Draft) -> None:
    for line in made.warnings:
        typer.echo(f"hpcmtl: {line}", err=True)
