"""`hpcmtl add`: add tasks to a running job."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hpcmtl.cli.arguments import Run, RunsDirectory
from hpcmtl.cli.steer import NoWait, Timeout, send

TaskFile = Annotated[
    Path,
    typer.Argument(metavar="TASKFILE", help="`tasks` and `data` in the form of a job file.", show_default=False),
]


def add(
    run: Run,
    file: TaskFile,
    runs: RunsDirectory = Path("runs"),
    timeout: Timeout = 120.0,
    *,
    no_wait: NoWait = False,
) -> None:
    """Add tasks to a running job; they are checked together with the job's tasks, here and by the job."""
    from hpcmtl.pipeline.live.addition import joined, read_addition
    from hpcmtl.pipeline.live.ask import check, job_of
    from hpcmtl.pipeline.prepare import plan, prepare
    from hpcmtl.results.rundir.find import find_run
    from hpcmtl.results.rundir.requests import new_request

    directory = find_run(run, runs)
    values, lines = read_addition(file)
    request = new_request("add", values=values)
    check(directory, request)
    plan(prepare(joined(job_of(directory), values, lines)))
    send(directory, request, 0.0 if no_wait else timeout)
