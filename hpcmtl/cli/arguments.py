"""Arguments and options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

JobFile = Annotated[Path, typer.Argument(help="Job file, YAML or TOML.", show_default=False)]
OptionalJobFile = Annotated[Path | None, typer.Argument(help="Job file, YAML or TOML.", show_default=False)]
RanksOption = Annotated[
    int | None, typer.Option("--ranks", "-n", min=1, help="Number of ranks, instead of the job's.", show_default=False)
]
PolicyOption = Annotated[
    str | None, typer.Option("--policy", help="Planning policy, instead of the job's.", show_default=False)
]
Measured = Annotated[
    Path | None,
    typer.Option(
        "--measured",
        metavar="RUN",
        help="Predict times from the measured layers of this run: directory, name, job or latest.",
        show_default=False,
    ),
]
Hosts = Annotated[
    str | None,
    typer.Option(
        "--hosts",
        "-H",
        metavar="HOST:SLOTS,...",
        help="Hosts to start ranks on, and the most ranks on each. Without --ranks all slots are used.",
        show_default=False,
    ),
]
HostFile = Annotated[
    Path | None,
    typer.Option(
        "--hostfile", metavar="FILE", help="File with a line `HOST slots=SLOTS` for each host.", show_default=False
    ),
]
Sets = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Change a value of the job: tasks.a.epochs=5.", show_default=False),
]
NoFt = Annotated[bool, typer.Option("--no-ft", help="End the run when a rank is lost.")]
# `readable=False`: click would refuse a directory of another user with its own words, and exit code 2.
Run = Annotated[
    Path,
    typer.Argument(
        metavar="RUN",
        help="Run directory, its name under --runs, a job's name, or latest.",
        show_default=False,
        readable=False,
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
RunsDirectory = Annotated[
    Path, typer.Option("--runs", help="Directory in which run directories are created.", readable=False)
]


def require_folder(option: str, file: Path) -> None:
    """Refuses a file to write that is a folder, or whose folder there is not.

    Raises:
        InputError: it is such a one.
    """
    from hpcmtl.errors import InputError, Problem

    if file.is_dir() or not file.parent.is_dir():
        text = "is a folder" if file.is_dir() else f"there is no folder {file.parent}"
        raise InputError([Problem(f"{option} {file}", f"{text}; name a file in a folder that exists")])
