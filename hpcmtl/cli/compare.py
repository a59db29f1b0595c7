"""`hpcmtl compare`: runs side by side."""

from __future__ import annotations

import csv
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hpcmtl.cli.arguments import Json, require_folder

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.table import Table

    from hpcmtl.results.comparison import Comparison, Row, SampleMean
    from hpcmtl.results.rundir.directory import RunDirectory

RunsOrSweeps = Annotated[
    list[Path],
    typer.Argument(
        metavar="RUN...",
        help="Run directories, names of jobs, latest, or sweeps, which stand for all their runs.",
        show_default=False,
        readable=False,
    ),
]
Sort = Annotated[
    str | None,
    typer.Option(
        "--sort", metavar="NAME", help="Sort by this metric (TASK.METRIC), time or setting.", show_default=False
    ),
]
Over = Annotated[
    list[str] | None,
    typer.Option(
        "--over", metavar="KEY", help="Give mean and spread over runs that differ in this setting, e.g. seed."
    ),
]
Csv = Annotated[
    Path | None, typer.Option("--csv", metavar="FILE", help="Write the table to this file.", show_default=False)
]
RunsFolder = Annotated[Path, typer.Option("--runs", help="Directory of runs that are found by name.", readable=False)]


def compare(  # noqa: PLR0917 - options of the command line, given by name
    names: RunsOrSweeps,
    sort: Sort = None,
    over: Over = None,
    file: Csv = None,
    runs: RunsFolder = Path("runs"),
    as_json: Json = False,
) -> None:
    """Show runs side by side: the settings in which they differ, metrics, seconds and rank-seconds."""
    from hpcmtl.pipeline.live.ask import job_of
    from hpcmtl.results.comparison import compare as compared
    from hpcmtl.results.comparison import compared_run, ordered
    from hpcmtl.results.run_state import read_run_state
    from hpcmtl.results.rundir.find import told_apart
    from hpcmtl.results.strict_json import to_json

    if file is not None:
        require_folder("--csv", file)
    found = told_apart(_runs(names, runs))
    facts = [compared_run(name, job_of(run), read_run_state(run.ledger_file)) for name, run in found.items()]
    comparison = compared(facts, over or ())
    if sort is not None:
        comparison = ordered(comparison, sort)
    if file is not None:
        _write(comparison, file)
    if as_json:
        typer.echo(
            to_json({"settings": comparison.settings, "rows": [asdict(row) for row in comparison.rows]}, indent=2)
        )
        return
    from rich.console import Console

    Console(width=None if sys.stdout.isatty() else 200).print(_table(comparison))
    if comparison.seeds and not over:
        typer.echo("the runs differ in their seed: --over seed shows mean and spread", err=True)


def _runs(names: list[Path], folder: Path) -> Iterator[tuple[str, RunDirectory]]:
    """Yields the runs with their names."""
    from hpcmtl.results.rundir.find import find_run
    from hpcmtl.results.rundir.sweep import find_sweep

    for name in names:
        sweep = find_sweep(name, folder)
        if sweep is None:
            run = find_run(name, folder)
            yield run.path.name, run
        else:
            several = len(names) > 1
            yield from ((f"{sweep.path.name}/{each}" if several else each, run) for each, run in sweep.points.items())


def _table(comparison: Comparison) -> Table:
    from rich.table import Table

    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False)
    for heading in ("run", "status", *comparison.settings, *comparison.measurements):
        table.add_column(heading, justify="right" if heading in comparison.measurements else "left", overflow="fold")
    for row in comparison.rows:
        table.add_row(*_cells(row, comparison))
    return table


def _cells(row: Row, comparison: Comparison) -> Iterator[str]:
    yield row.names[0] if len(row.names) == 1 else f"{len(row.names)} runs"
    yield ", ".join(row.statuses)
    for key in comparison.settings:
        yield str(row.settings.get(key, "-"))
    for name in comparison.measurements:
        yield _shown(row.measured.get(name), len(row.names))


def _shown(mean: SampleMean | None, runs: int) -> str:
    """Returns a measurement as text; a number of runs is said where not all of them have it."""
    if mean is None:
        return "-"
    text = f"{mean.mean:.4g}"
    if mean.deviation is not None:
        text += f" ± {mean.deviation:.2g}"
    return text if mean.count == runs else f"{text} ({mean.count} of {runs})"


def _write(comparison: Comparison, file: Path) -> None:
    """Writes a row for each row, with the columns NAME, NAME.deviation and NAME.count of each measurement."""
    from hpcmtl.errors import naming_no_space

    with naming_no_space(file), file.open("w", encoding="utf-8", newline="") as out:
        writer = csv.writer(out)
        columns = [part for name in comparison.measurements for part in (name, f"{name}.deviation", f"{name}.count")]
        writer.writerow(["runs", "status", *comparison.settings, *columns])
        for row in comparison.rows:
            means = [row.measured.get(name) for name in comparison.measurements]
            values = [
                value
                for each in means
                for value in (("", "", 0) if each is None else (each.mean, each.deviation, each.count))
            ]
            settings = [row.settings.get(key, "") for key in comparison.settings]
            writer.writerow([" ".join(row.names), " ".join(row.statuses), *settings, *values])
