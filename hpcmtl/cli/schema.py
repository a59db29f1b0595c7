"""`hpcmtl schema`: the JSON Schema of job files."""

from __future__ import annotations

import json

import typer


def schema() -> None:
    """Print the JSON Schema of job files, for editors that check while typing."""
    from hpcmtl.jobfile.schema import Job

    typer.echo(json.dumps(Job.model_json_schema(), indent=2))
