"""`hpcmtl status`: how a run is doing, from its directory alone."""

from __future__ import annotations

import json
import time
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.live import Live

from hpcmtl.cli.arguments import Json
from hpcmtl.results.rundir import RunDirectory
from hpcmtl.results.status import find_run, read_status
from hpcmtl.results.status_table import status_view
from hpcmtl.results.strictjson import to_json
from hpcmtl.results.summary import from_dict, print_table

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

SECONDS_BETWEEN_LOOKS = 2.0
_GOING = frozenset({"preparing", "running", "stopping"})
_CONSOLE = Console()

RunName = Annotated[Path, typer.Argument(metavar="RUN", help="Run directory, or name of a job, or latest.")]
Watch = Annotated[bool, typer.Option("--watch", help="Look again every 2 s until the job ends.")]
Runs = Annotated[Path, typer.Option("--runs", help="Directory in which runs are looked for by name.")]


def status(
    run: RunName = Path("latest"), watch: Watch = False, as_json: Json = False, runs: Runs = Path("runs")
) -> None:
    """Say how a run is doing: tasks, layers, speed, expected end, nodes; needs neither MPI nor MXNet."""
    if watch and as_json:
        raise typer.BadParameter("does not go with --json", param_hint="--watch")
    path = find_run(run, runs)
    found: Mapping[str, Any] = read_status(path)
    if as_json:
        typer.echo(to_json(found, indent=2))
        return
    if watch and found["status"] in _GOING:
        found = _watch(path, found)
    elif found["status"] in _GOING:
        _CONSOLE.print(status_view(found))
    if found["status"] not in _GOING:
        _print_end(path, found)


def _watch(path: Path, found: Mapping[str, Any]) -> Mapping[str, Any]:
    """Show a run until it has ended; the screen is then free for its end."""
    most = max((_CONSOLE.height - 10) // 2, 3)  # Live cannot scroll: half of the screen for tasks, half for nodes
    with Live(status_view(found, most), console=_CONSOLE, auto_refresh=False, transient=True) as live:
        while found["status"] in _GOING:
            time.sleep(SECONDS_BETWEEN_LOOKS)
            found = read_status(path)
            live.update(status_view(found, most), refresh=True)
    return found


def _print_end(path: Path, found: Mapping[str, Any]) -> None:
    """What the run itself printed at its end; without its results, where everything stood."""
    try:
        result = from_dict(json.loads(RunDirectory(path).results_file.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError, KeyError, AttributeError):  # it is there before the ledger has the end
        _CONSOLE.print(status_view(found))
    else:
        print_table(result, _CONSOLE)
        _CONSOLE.print(f"ended {datetime.fromtimestamp(found['ended']).astimezone():%Y-%m-%d %H:%M:%S}")
