"""`hpcmtl validate`: is this job sound?"""

from __future__ import annotations

import typer

from hpcmtl.cli.arguments import JobFile, Ranks
from hpcmtl.pipeline.prepare import prepare


def validate(file: JobFile, ranks: Ranks = None) -> None:
    """Check a job file and its data, and report every problem at once; nothing is run."""
    prepared = prepare(file, ranks)
    layers = sum(task.layers for task in prepared.graph.tasks)
    typer.echo(f"{file}: job {prepared.job.job} is sound: {len(prepared.graph.tasks)} tasks, {layers} layers")
