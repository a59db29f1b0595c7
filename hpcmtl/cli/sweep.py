"""`hpcmtl status`, `wait` and `cancel` of a whole sweep: its directory, or the ID of its array."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from rich.table import Table

    from hpcmtl.results.rundir.sweep import Sweep

TIMED_OUT = 124  # as `timeout` has it


def show_sweep(sweep: Sweep, seconds: float | None, *, as_json: bool) -> None:
    """Prints the state of a sweep.

    Args:
        sweep: the sweep.
        seconds: seconds between two looks until it has ended; None to look once.
        as_json: print JSON.
    """
    from rich.console import Console
    from rich.live import Live

    from hpcmtl.pipeline.live.sweep import SweepReader
    from hpcmtl.pipeline.live.watch import poll_by
    from hpcmtl.results.strict_json import to_json

    reader = SweepReader(sweep)
    found: Mapping[str, Any] = reader.look()
    if as_json:
        typer.echo(to_json(found, indent=2))
        return
    console = Console()
    if seconds is not None and not found["over"]:
        most = max(console.height - 4, 3)
        with Live(_table(found, most), console=console, auto_refresh=False, transient=True) as live:
            for found in poll_by(reader.look, seconds):
                live.update(_table(found, most), refresh=True)
    console.print(f"{sweep.path}: {_counts(found)}", soft_wrap=True, markup=False, highlight=False)
    console.print(_table(found, len(found["points"])))


def wait_for_sweep(sweep: Sweep, seconds: float, timeout: float | None, *, as_json: bool) -> int:
    """Waits until all runs of a sweep have ended, and returns its exit code; 124 if they have not ended in time.

    Args:
        sweep: the sweep.
        seconds: seconds between two looks.
        timeout: largest number of seconds to wait; None for no limit.
        as_json: print JSON.
    """
    from hpcmtl.pipeline.live.sweep import SweepReader
    from hpcmtl.pipeline.live.watch import poll_by
    from hpcmtl.results.strict_json import to_json

    end = None if timeout is None else time.monotonic() + timeout
    shown, code = "", TIMED_OUT
    found: Mapping[str, Any] = {}
    for found in poll_by(SweepReader(sweep).look, seconds):
        code = found["exit_code"] if found["over"] else TIMED_OUT
        if found["over"] and found["sure"]:
            break
        if _counts(found) != shown:
            shown = _counts(found)
            print(f"hpcmtl: {shown}", file=sys.stderr, flush=True)  # noqa: T201 - talk
        if end is not None and time.monotonic() >= end:
            code = TIMED_OUT
            break
    typer.echo(to_json(found, indent=2) if as_json else f"{sweep.path}: {_counts(found)}")
    return code


def end_sweep(sweep: Sweep, timeout: float, *, at_once: bool, as_json: bool) -> None:
    """Cancels a sweep and prints how.

    Args:
        sweep: the sweep.
        timeout: seconds to wait for the answers of running jobs.
        at_once: let Slurm end the batch jobs at once.
        as_json: print JSON.
    """
    from hpcmtl.pipeline.live.sweep import cancel_sweep
    from hpcmtl.results.strict_json import to_json

    done = cancel_sweep(sweep, timeout, at_once=at_once)
    if as_json:
        typer.echo(to_json(done, indent=2))
        return
    for name, message in done["points"].items():
        typer.echo(f"cancel {name}: {message}")


def _counts(found: Mapping[str, Any]) -> str:
    parts = ", ".join(f"{count} {state}" for state, count in sorted(found["counts"].items()))
    return f"{parts} of {len(found['points'])} runs"


def _table(found: Mapping[str, Any], most: int) -> Table:
    """Returns a table of the points; if they are too many, those that have not completed come first."""
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False)
    for heading in ("run", "state", "tasks", "ranks"):
        table.add_column(heading, no_wrap=True)
    table.add_column("", overflow="fold")
    points = list(found["points"].items())
    if len(points) > most:
        points = sorted(points, key=lambda each: each[1]["state"] == "complete")[:most]
    for name, point in points:
        tasks = point["tasks"].values()
        done = f"{sum(task['status'] == 'complete' for task in tasks)}/{len(tasks)}"
        said = "" if point["state"] in {"complete", "running"} else point["sentence"]
        table.add_row(name, point["state"], done, str(point["ranks"] or "-"), Text(said))
    return table
