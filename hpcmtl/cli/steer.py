"""`hpcmtl set`, `pause`, `unpause`: change a running job by a request in its run directory."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hpcmtl.cli.arguments import Run, RunsDirectory
from hpcmtl.errors import InputError, Problem

if TYPE_CHECKING:
    from hpcmtl.results.rundir.directory import RunDirectory
    from hpcmtl.results.rundir.requests import Request

TaskName = Annotated[str, typer.Argument(metavar="TASK", help="Name of a task.", show_default=False)]
Timeout = Annotated[float, typer.Option("--timeout", min=0.1, help="Seconds to wait for the job's reply.")]
NoWait = Annotated[bool, typer.Option("--no-wait", help="Leave the request without waiting for the reply.")]
SettingsArgument = Annotated[
    list[str], typer.Argument(metavar="KEY=VALUE...", help="priority=N, learning_rate=X.", show_default=False)
]


def set_(
    run: Run,
    task: TaskName,
    settings: SettingsArgument,
    runs: RunsDirectory = Path("runs"),
    timeout: Timeout = 15.0,
    *,
    no_wait: NoWait = False,
) -> None:
    """Change the priority or the learning rate of a task of a running job."""
    from hpcmtl.results.rundir.requests import new_request

    change(run, runs, new_request("set", task, _values(settings)), 0.0 if no_wait else timeout)


def pause(
    run: Run, task: TaskName, runs: RunsDirectory = Path("runs"), timeout: Timeout = 15.0, *, no_wait: NoWait = False
) -> None:
    """Stop a task of a running job with a checkpoint; it releases its ranks until `unpause`."""
    from hpcmtl.results.rundir.requests import new_request

    change(run, runs, new_request("pause", task), 0.0 if no_wait else timeout)


def unpause(
    run: Run, task: TaskName, runs: RunsDirectory = Path("runs"), timeout: Timeout = 15.0, *, no_wait: NoWait = False
) -> None:
    """Continue a paused task of a running job from its checkpoint."""
    from hpcmtl.results.rundir.requests import new_request

    change(run, runs, new_request("unpause", task), 0.0 if no_wait else timeout)


def change(run: Path, runs: Path, request: Request, timeout: float, *, as_json: bool = False) -> None:
    """Checks a request to a run and sends it; see `send`."""
    from hpcmtl.pipeline.live.ask import check
    from hpcmtl.results.rundir.find import find_run

    directory = find_run(run, runs)
    check(directory, request)
    send(directory, request, timeout, as_json=as_json)


def send(run: RunDirectory, request: Request, timeout: float, *, as_json: bool = False) -> None:
    """Sends a request, prints the reply, and exits with 0 if it is accepted, 2 if it is refused.

    Raises:
        EnvironmentUnfitError: there is no reply (exit code 3).
    """
    from hpcmtl.pipeline.live.ask import ask
    from hpcmtl.results.strict_json import to_json

    answer = ask(run, request, timeout)
    what = " ".join(filter(None, [request.verb, request.task]))
    if as_json and (answer is None or answer.accepted):
        outcome = {"accepted": None, "message": ""} if answer is None else vars(answer)
        typer.echo(to_json({"run": run.path, **request.to_event(), **outcome}, indent=2))
    elif answer is None:
        typer.echo(f"{what}: the request is {run.requests / request.id}.json")
    elif answer.accepted:
        typer.echo(f"{what}: accepted: {answer.message}")
    else:
        raise InputError([Problem(what, f"refused: {answer.message}")])


def _values(settings: list[str]) -> dict[str, Any]:
    """Returns the numbers by key.

    Raises:
        InputError: a word is not KEY=NUMBER.
    """
    values: dict[str, Any] = {}
    for word in settings:
        key, _, text = word.partition("=")
        try:
            values[key] = int(text) if key == "priority" else float(text)
        except ValueError:
            wanted = "priority=N (a whole number) or learning_rate=X"
            raise InputError([Problem("set", f"found {word!r}; write {wanted}")]) from None
    return values
