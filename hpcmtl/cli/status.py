"""`hpcmtl status` and `hpcmtl wait`: the status of a run, and its end."""

from __future__ import annotations

import json
import re
import sys
import time
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hpcmtl.cli.arguments import Json
from hpcmtl.cli.sweep import TIMED_OUT, show_sweep, wait_for_sweep

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

SECONDS_BETWEEN_LOOKS = 2.0

RunName = Annotated[
    Path, typer.Argument(metavar="RUN", help="Run directory, or name of a job, or latest.", readable=False)
]
RunOrSweep = Annotated[
    Path,
    typer.Argument(
        metavar="RUN",
        help="Run directory, name of a job, latest; or directory of a sweep, or ID of its array.",
        readable=False,
    ),
]
WatchOption = Annotated[bool, typer.Option("--watch", help="Refresh every 2 s until the job ends.")]
Runs = Annotated[Path, typer.Option("--runs", help="Directory of runs that are found by name.", readable=False)]
Seconds = Annotated[
    float | None, typer.Option("--timeout", min=0.0, help="Largest number of seconds to wait.", show_default=False)
]


def status(
    run: RunOrSweep = Path("latest"), watch: WatchOption = False, as_json: Json = False, runs: Runs = Path("runs")
) -> None:
    """Show the status of a run: tasks, layers, speed, expected end, nodes; needs neither MPI nor a framework."""
    from hpcmtl.pipeline.live.watch import diagnose_run
    from hpcmtl.results.rundir.find import find_run
    from hpcmtl.results.rundir.sweep import find_sweep
    from hpcmtl.results.strict_json import to_json

    if watch and as_json:
        raise typer.BadParameter("does not go with --json", param_hint="--watch")
    sweep = find_sweep(run, runs)
    if sweep is not None:
        show_sweep(sweep, SECONDS_BETWEEN_LOOKS if watch else None, as_json=as_json)
        return
    path = find_run(run, runs).path
    found: Mapping[str, Any] = diagnose_run(path)
    if as_json:
        typer.echo(to_json(found, indent=2))
        return
    if watch and not found["over"]:
        found = _watch(path, found)
    if found["over"] and found["record"]:
        _print_end(path, found)
    else:
        _print_state(found)


def wait(
    run: RunOrSweep = Path("latest"), timeout: Seconds = None, as_json: Json = False, runs: Runs = Path("runs")
) -> None:
    """Wait until a run has ended, and leave with its exit code; 124 if it has not ended in time.

    The exit code of a sweep is 1 if one of its runs failed, else 75 if one stopped, else 0.
    """
    from hpcmtl.results.rundir.find import find_run
    from hpcmtl.results.rundir.sweep import find_sweep

    sweep = find_sweep(run, runs)
    if sweep is not None:
        raise typer.Exit(wait_for_sweep(sweep, SECONDS_BETWEEN_LOOKS, timeout, as_json=as_json))
    raise typer.Exit(_wait_for_run(find_run(run, runs).path, timeout, as_json=as_json))


def _wait_for_run(path: Path, timeout: float | None, *, as_json: bool) -> int:
    from hpcmtl.pipeline.live.watch import poll
    from hpcmtl.results.strict_json import to_json

    end = None if timeout is None else time.monotonic() + timeout
    shown: object = None
    found: Mapping[str, Any] = {}
    code = TIMED_OUT
    for found in poll(path, SECONDS_BETWEEN_LOOKS):
        code = found["exit_code"] if found["over"] else TIMED_OUT
        if found["over"] and found["sure"]:
            break
        if found["state"] != shown:
            shown = found["state"]
            print(f"hpcmtl: {_said(found)}", file=sys.stderr, flush=True)  # noqa: T201 - talk
        if end is not None and time.monotonic() >= end:
            code = TIMED_OUT
            break
    if as_json:
        typer.echo(to_json(found, indent=2))
    else:
        typer.echo(f"{found['job'] or path}: {_said(found)}")
    return code


def _said(found: Mapping[str, Any]) -> str:
    """Returns state and sentence of a diagnosis, and the sentence alone if it says the state."""
    state, sentence = found["state"], found["sentence"]
    return sentence if re.search(rf"\b{state}\b", sentence) else f"{state}: {sentence}"


def _watch(path: Path, found: Mapping[str, Any]) -> Mapping[str, Any]:
    """Shows a run until it has ended, and clears the screen for its result."""
    from rich.console import Console
    from rich.live import Live

    from hpcmtl.pipeline.live.watch import poll
    from hpcmtl.results.status.table import status_view

    console = Console()
    most = max((console.height - 10) // 2, 3)  # Live cannot scroll: half of the screen for tasks, half for nodes
    with Live(status_view(found, most), console=console, auto_refresh=False, transient=True) as live:
        for found in poll(path, SECONDS_BETWEEN_LOOKS):  # noqa: PLR1704 - the last one is returned
            live.update(status_view(found, most), refresh=True)
    return found


def _print_state(found: Mapping[str, Any]) -> None:
    from rich.console import Console

    from hpcmtl.results.status.table import status_view

    Console().print(status_view(found))


def _print_end(path: Path, found: Mapping[str, Any]) -> None:
    """Prints the result as the run itself did at its end; without a readable record, the last status."""
    from rich.console import Console

    from hpcmtl.results.outcome.summary import from_dict, print_table
    from hpcmtl.results.rundir.directory import RunDirectory

    console = Console()
    try:
        result = from_dict(json.loads(RunDirectory(path).results_file.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError, KeyError, AttributeError):  # of another version
        _print_state(found)
        return
    print_table(result, console)
    if found["ended"]:  # the record is there before the ledger has the end
        console.print(f"ended {datetime.fromtimestamp(found['ended']).astimezone():%Y-%m-%d %H:%M:%S}")
    if found["state"] != found["record"] or found["job_ids"]:
        console.print(found["sentence"], soft_wrap=True, markup=False, highlight=False)
