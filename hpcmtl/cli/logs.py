"""`hpcmtl logs`: the output of a run, of one of its ranks, or on one of its tasks."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hpcmtl.cli.arguments import Json
from hpcmtl.cli.status import RunName, Runs
from hpcmtl.errors import InputError, Problem, nearest
from hpcmtl.logs import harmless

if TYPE_CHECKING:
    from hpcmtl.results.logs.files import LogReader
    from hpcmtl.results.logs.lines import LogLine

SECONDS_BETWEEN_READS = (0.5, 5.0)
"""Seconds between two reads of the logs: while lines come, and at most after a while without any."""

SECONDS_BETWEEN_DIAGNOSES = 5.0

Rank = Annotated[int | None, typer.Option("--rank", min=0, help="The log of this rank.", show_default=False)]
TaskFilter = Annotated[str | None, typer.Option("--task", help="Lines of all ranks on this task.", show_default=False)]
Follow = Annotated[bool, typer.Option("--follow", "-f", help="Follow the logs until the run ends, over new attempts.")]
Verbose = Annotated[bool, typer.Option("--verbose", "-v", help="Show lines of level DEBUG, as with --rank and --task.")]
Tail = Annotated[
    int | None, typer.Option("--tail", min=0, help="Begin this number of lines before the end.", show_default=False)
]


def logs(
    run: RunName = Path("latest"),
    rank: Rank = None,
    task: TaskFilter = None,
    tail: Tail = None,
    runs: Runs = Path("runs"),
    *,
    follow: Follow = False,
    verbose: Verbose = False,
    as_json: Json = False,
) -> None:
    """Print the batch output of a run, else the log of rank 0; or that of a rank, or lines of all ranks on a task."""
    from hpcmtl.results.logs.files import LogReader, Wanted
    from hpcmtl.results.rundir.find import find_run
    from hpcmtl.results.status.status import read_status

    directory = find_run(run, runs)
    path = directory.path
    known = read_status(path)["tasks"]
    if task is not None and known and task not in known:
        raise InputError([Problem(f"{path}: --task {task}", f"there is no such task{nearest(task, known)}")])
    details = verbose or rank is not None or task is not None  # most lines of a rank but 0 are details
    reader = LogReader(directory, Wanted(rank, task or "", debug=details))
    reader.require()
    first = reader.read(last=not follow)
    _print(first if tail is None else first[len(first) - min(tail, len(first)) :], as_json=as_json)
    if follow:
        for lines in _following(path, reader):
            _print(lines, as_json=as_json)
    elif not reader.files():
        print("hpcmtl: there is no such log yet", file=sys.stderr)  # noqa: T201 - this is the command's voice


def _following(path: Path, reader: LogReader) -> Iterator[list[LogLine]]:
    """Yields new lines as they come, until the run has ended; without new lines the reads become rarer."""
    from hpcmtl.pipeline.live.watch import poll

    least, most = SECONDS_BETWEEN_READS
    for found in poll(path, 0.0):
        if found["over"] and found["sure"]:
            break
        due, pause = time.monotonic() + SECONDS_BETWEEN_DIAGNOSES, least
        while time.monotonic() < due:
            lines = reader.read()
            yield lines
            pause = least if lines else min(pause * 1.5, most)
            time.sleep(pause)
    yield reader.read(last=True)


def _print(lines: Iterable[LogLine], *, as_json: bool) -> None:
    from hpcmtl.results.strict_json import to_json

    for line in lines:
        typer.echo(to_json(line) if as_json else harmless(line.text))
    sys.stdout.flush()
