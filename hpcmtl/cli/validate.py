"""`hpcmtl validate`: check a job."""

from __future__ import annotations

import typer

from hpcmtl.cli.arguments import JobFile, RanksOption


def validate(file: JobFile, ranks: RanksOption = None) -> None:
    """Check a job file and its data and report all problems at once; nothing is run."""
    from hpcmtl.pipeline.prepare import prepare

    prepared = prepare(file, ranks)
    layers = sum(task.layers for task in prepared.graph.tasks)
    typer.echo(f"{file}: job {prepared.job.job} is sound: {len(prepared.graph.tasks)} tasks, {layers} layers")
