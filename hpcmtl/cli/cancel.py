"""`hpcmtl cancel`: ends a task of a running job, or the whole job."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hpcmtl.cli.arguments import Json, Run, RunsDirectory
from hpcmtl.cli.steer import NoWait, Timeout, change
from hpcmtl.cli.sweep import end_sweep

OptionalTask = Annotated[
    str | None, typer.Argument(metavar="[TASK]", help="Name of a task; the whole job without.", show_default=False)
]
Now = Annotated[bool, typer.Option("--now", help="Let Slurm end the job at once, without checkpoints.")]


def cancel(
    run: Run,
    task: OptionalTask = None,
    runs: RunsDirectory = Path("runs"),
    timeout: Timeout = 15.0,
    *,
    no_wait: NoWait = False,
    now: Now = False,
    as_json: Json = False,
) -> None:
    """End a task of a running job, what needs it is skipped; without TASK end the job, or a sweep, with checkpoints."""
    from hpcmtl.pipeline.live.cancel import cancel_job
    from hpcmtl.results.rundir.find import find_run
    from hpcmtl.results.rundir.requests import new_request
    from hpcmtl.results.rundir.sweep import find_sweep
    from hpcmtl.results.strict_json import to_json

    seconds = 0.0 if no_wait else timeout
    if task is not None:
        if now:
            raise typer.BadParameter("is for a whole job, without TASK", param_hint="--now")
        change(run, runs, new_request("cancel", task), seconds, as_json=as_json)
        return
    sweep = find_sweep(run, runs)
    if sweep is not None:
        end_sweep(sweep, seconds, at_once=now, as_json=as_json)
        return
    done = cancel_job(find_run(run, runs), seconds, at_once=now)
    typer.echo(to_json(done, indent=2) if as_json else f"cancel: {done.message}")
