"""`hpcmtl prune`: removes files that no attempt of a run needs any more."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from hpcmtl.cli.arguments import Json

Where = Annotated[
    Path,
    typer.Argument(
        metavar="DIR", help="A run directory, a sweep, or a directory of these.", show_default=False, readable=False
    ),
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what would be removed, and remove nothing.")]


def prune(where: Where, dry_run: DryRun = False, as_json: Json = False) -> None:
    """Remove the checkpoints of complete runs, and half-written files; nothing of a run of which an attempt is alive.

    Artifacts, results, logs and the ledger stay. Without checkpoints a damaged artifact is made again from the start.
    """
    from hpcmtl.errors import HpcmtlError
    from hpcmtl.pipeline.prune import removable, remove, runs_in
    from hpcmtl.results.strict_json import to_json

    runs, found, failed = runs_in(where), [], 0
    for run in runs:
        try:  # run by run, so that no attempt begins between the look and the removal of many others
            for each in list(removable(run)):
                if not dry_run:
                    remove(each)
                found.append(each)
                if not as_json:
                    did = "would remove" if dry_run else "removed"
                    typer.echo(f"{did} {each.path} ({each.files} files): {each.reason}")
        except (HpcmtlError, OSError) as error:  # a run of another user, or with a damaged ledger
            failed += 1
            typer.echo(f"hpcmtl: {run.path} is left as it is: {error}", err=True)
    files, size = sum(each.files for each in found), sum(each.bytes for each in found)
    if as_json:
        values = {"removed": not dry_run, "files": files, "bytes": size, "found": [asdict(each) for each in found]}
        typer.echo(to_json(values, indent=2))
    else:
        what = "would be removed" if dry_run else "are removed"
        typer.echo(f"{len(runs)} runs: {files} files, {size / (1 << 20):.1f} MiB {what}")
    if failed:
        raise typer.Exit(1)
