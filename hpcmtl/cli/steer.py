"""`hpcmtl set`, `pause`, `unpause`: change a running job; each asks its run directory."""

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
Timeout = Annotated[float, typer.Option("--timeout", min=0.1, help="Seconds to wait for the job's answer.")]
NoWait = Annotated[bool, typer.Option("--no-wait", help="Leave the request and do not wait for the answer.")]
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
    """Let a task of a running job stop with a checkpoint, give up its ranks, and wait."""
    from hpcmtl.results.rundir.requests import new_request

    change(run, runs, new_request("pause", task), 0.0 if no_wait else timeout)


def unpause(
    run: Run, task: TaskName, runs: RunsDirectory = Path("runs"), timeout: Timeout = 15.0, *, no_wait: NoWait = False
) -> None:
    """Let a paused task of a running job go on from its checkpoint."""
    from hpcmtl.results.rundir.requests import new_request

    change(run, runs, new_request("unpause", task), 0.0 if no_wait else timeout)


def change(run: Path, runs: Path, request: Request, timeout: float, *, as_json: bool = False) -> None:
    """Check a request on a run and send it; see `send`."""
    from hpcmtl.pipeline.live.ask import check
    from hpcmtl.results.rundir.find import find_run

    directory = find_run(run, runs)
    check(directory, request)
    send(directory, request, timeout, as_json=as_json)


def send(run: RunDirectory, request: Request, timeout: float, *, as_json: bool = False) -> None:
    """Ask, say the answer, and leave with an exit code that tells it: 0 accepted, 2 refused.

    Raises:
        EnvironmentUnfitError: nobody answers (exit code 3).
    """
    from hpcmtl.pipeline.live.ask import ask
    from hpcmtl.results.strict_json import to_json

    answer = ask(run, request, timeout)
    what = " ".join(filter(None, [request.verb, request.task]))
    if as_json and (answer is None or answer.accepted):
        told = {"accepted": None, "message": ""} if answer is None else vars(answer)
        typer.echo(to_json({"run": run.path, **request.to_event(), **told}, indent=2))
    elif answer is None:
        typer.echo(f"{what}: left as {run.requests / request.id}.json")
    elif answer.accepted:
        typer.echo(f"{what}: accepted: {answer.message}")
    else:
        raise InputError([Problem(what, f"refused: {answer.message}")])


def _values(settings: list[str]) -> dict[str, Any]:
    """Numbers by key.

    Raises:
        InputError: for what is no KEY=NUMBER.
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
