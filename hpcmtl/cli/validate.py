"""`hpcmtl validate`: check a job."""

from __future__ import annotations

from typing import Annotated

import typer

from hpcmtl.cli.arguments import JobFile, RanksOption, Sets

Static = Annotated[
    bool, typer.Option("--static", help="Neither read the data nor import user code or a framework; takes a second.")
]


def validate(file: JobFile, ranks: RanksOption = None, sets: Sets = None, *, static: Static = False) -> None:
    """Check a job file, its data, user code and networks, and report all problems at once; nothing is trained.

    The same checks are made at the start of a run. What this machine cannot check is listed.
    """
    from hpcmtl.jobfile.changes import one_change
    from hpcmtl.pipeline.validation import validated
    from hpcmtl.results.format import counted

    checked = validated(file, ranks, changes=one_change(sets or ()), static=static)
    for line in checked.unchecked:
        typer.echo(f"not checked: {line}")
    tasks, layers = checked.graph.tasks, sum(task.layers for task in checked.graph.tasks)
    runs = f", a sweep of {checked.points} runs" if checked.points > 1 else ""
    size = f"{counted(len(tasks), 'task')}, {counted(layers, 'layer')}"
    typer.echo(f"{file}: job {checked.job} is sound: {size}{runs}")
