"""`hpcmtl verify`: reads all sealed files of a run and names those that are damaged."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import typer

from hpcmtl.cli.arguments import Json, Run, RunsDirectory
from hpcmtl.errors import ExitCode


def verify(run: Run, runs: RunsDirectory = Path("runs"), as_json: Json = False) -> None:
    """Compare all artifacts and checkpoints of a run with their checksums, and read its ledger and record.

    The exit code is 0 if all are sound, and 1 if one is damaged or missing. Nothing is changed.
    """
    from hpcmtl.pipeline.verify import verify_run
    from hpcmtl.results.rundir.find import find_run
    from hpcmtl.results.strict_json import to_json

    directory = find_run(run, runs)
    found = []
    for file in verify_run(directory):
        found.append(file)
        if file.damage and not as_json:
            typer.echo(f"{file.kind} {file.file}: {file.damage}")
    damaged = sum(bool(file.damage) for file in found)
    if as_json:
        typer.echo(to_json({"run": str(directory.path), "files": [asdict(file) for file in found]}, indent=2))
    else:
        size = sum(file.bytes for file in found) / (1 << 20)
        ending = f"{damaged} damaged" if damaged else "all are sound"
        typer.echo(f"{directory.path}: {len(found)} files, {size:.1f} MiB: {ending}")
        if any(file.damage and file.kind in {"artifact", "checkpoint"} for file in found):
            typer.echo(f"`hpcmtl resume {directory.path}` makes artifacts again from sound checkpoints")
    raise typer.Exit(int(ExitCode.TASK_FAILED if damaged else ExitCode.COMPLETE))
