"""`hpcmtl history`: the curves of losses and metrics of a run."""

from __future__ import annotations

import csv
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hpcmtl.cli.arguments import Json, Run, RunsDirectory, require_folder

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rich.table import Table

    from hpcmtl.results.curves.point import TrainingPoint
    from hpcmtl.results.curves.series import Series
    from hpcmtl.results.rundir.directory import RunDirectory

    Curves = Mapping[str, Sequence[TrainingPoint]]

Tasks = Annotated[
    list[str] | None,
    typer.Option("--task", "-t", metavar="TASK", help="Show this task alone; may be repeated.", show_default=False),
]
All = Annotated[
    bool, typer.Option("--all", help="Show learning rate, speed, gradient norm, weights and cosines as well.")
]
PointsFile = Annotated[
    Path | None, typer.Option("--csv", metavar="FILE", help="Write all points to this file.", show_default=False)
]

_WIDTH = 100  # columns where there is no terminal
_LABEL, _VALUE, _ENDS = 12, 11, 27  # widths of the columns beside a plot, in characters
_HEIGHT = 5


def history(  # noqa: PLR0917 - options of the command line, given by name
    run: Run,
    tasks: Tasks = None,
    everything: All = False,
    file: PointsFile = None,
    runs: RunsDirectory = Path("runs"),
    as_json: Json = False,
) -> None:
    """Show the curves of losses and metrics of a run, which may be running, in the terminal."""
    from hpcmtl.results.curves.point import to_fields
    from hpcmtl.results.curves.reader import read_curves
    from hpcmtl.results.rundir.find import find_run
    from hpcmtl.results.strict_json import to_json

    if file is not None:
        require_folder("--csv", file)
    directory = find_run(run, runs)
    curves = _chosen(read_curves(directory), tasks, directory)
    if file is not None:
        _write(curves, file)
        typer.echo(f"{file}: {sum(map(len, curves.values()))} points", err=True)
    elif as_json:
        typer.echo(to_json({task: [to_fields(point) for point in points] for task, points in curves.items()}))
    else:
        _show(curves, everything=everything)


def _chosen(curves: Curves, tasks: Sequence[str] | None, run: RunDirectory) -> Curves:
    """Returns the curves of some tasks, or of all.

    Raises:
        InputError: a task has none, or the run has none at all.
    """
    from hpcmtl.errors import InputError, Problem, nearest

    if not curves:
        text = "no task has been trained for long enough to have curves, or the run is of an earlier version"
        raise InputError([Problem(str(run.path), text)])
    unknown = [name for name in tasks or () if name not in curves]
    if unknown:
        known = f"tasks with curves: {', '.join(curves)}"
        raise InputError(
            [Problem(f"--task {name}", f"has no curves{nearest(name, curves)}; {known}") for name in unknown]
        )
    return {name: curves[name] for name in tasks} if tasks else curves


def _show(curves: Curves, *, everything: bool) -> None:
    from rich.console import Console

    console = Console(width=None if sys.stdout.isatty() else _WIDTH, highlight=False)
    for number, (task, points) in enumerate(curves.items()):
        if number:
            console.print()
        console.print(_title(task, points), style="bold", markup=False)
        console.print(_plots(points, console.width, everything=everything))


def _title(task: str, points: Sequence[TrainingPoint]) -> str:
    from hpcmtl.results.format import counted

    if not points:
        return f"{task}: no points yet"
    return f"{task}: {counted(points[-1].step, 'step')}, epoch {points[-1].epoch + 1}"


def _plots(points: Sequence[TrainingPoint], width: int, *, everything: bool) -> Table:
    """Returns a plot for each series, with its largest and smallest value, and its first, last and best value."""
    from rich.table import Table

    from hpcmtl.results.curves.plot import plotted
    from hpcmtl.results.curves.series import series_of

    found = series_of(points)
    measured = {name for point in points for name in (*point.losses, *point.metrics)}
    shown = {name: series for name, series in found.items() if everything or name in measured}
    label = min(max(map(len, shown), default=0), width // 4)
    table = Table.grid(padding=(0, 1, 0, 0), pad_edge=False)
    table.add_column(width=max(label, _LABEL), overflow="fold")
    table.add_column(justify="right", width=_VALUE, no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True, width=_ENDS)
    room = max(width - max(label, _LABEL) - _VALUE - _ENDS - 3, 8)
    for name, series in shown.items():
        lines = plotted(series.steps, series.values, room, _HEIGHT)
        limits = [f"{max(series.values):.5g}", *[""] * (_HEIGHT - 2), f"{min(series.values):.5g}"]
        table.add_row(_literal(name), _literal("\n".join(limits)), _literal("\n".join(lines)), _ends(series))
    return table


def _ends(series: Series) -> str:
    """Returns the first, last and best value of a series."""
    lines = [f"first {series.values[0]:.5g}", f"last  {series.values[-1]:.5g}"]
    if series.best is not None:
        lines.append(f"best  {series.best[1]:.5g} at {series.best[0]}")
    return "\n".join(lines)


def _literal(text: str) -> str:
    from rich.markup import escape

    return escape(text)


def _write(curves: Curves, file: Path) -> None:
    from hpcmtl.errors import naming_no_space
    from hpcmtl.results.curves.table import rows_of

    headings, rows = rows_of(curves)
    with naming_no_space(file), file.open("w", encoding="utf-8", newline="") as out:
        writer = csv.DictWriter(out, headings, restval="")
        writer.writeheader()
        writer.writerows(rows)
