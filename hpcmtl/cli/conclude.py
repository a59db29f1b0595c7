"""`hpcmtl conclude`: the last command of a batch script."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def conclude(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Run directory.", show_default=False)],
    code: Annotated[int, typer.Option("--code", help="Exit code of the launcher.", show_default=False)],
    seconds: Annotated[float, typer.Option("--seconds", help="Seconds since the script began.")] = 0.0,
    terminated: Annotated[bool, typer.Option("--terminated", help="Slurm has sent SIGTERM.")] = False,
) -> None:
    """Read an attempt's completion record; requeue the job, or end with the run's exit code."""
    from hpcmtl.pipeline.batch.conclude import LauncherExit
    from hpcmtl.pipeline.batch.conclude import conclude as conclude_run

    final, line = conclude_run(run, LauncherExit(code, seconds, terminated))
    typer.echo(f"hpcmtl: {run.name}: {line}", err=True)
    raise typer.Exit(final)
