"""A progress bar on the standard error of a command, if it is a terminal."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import typer

from hpcmtl.data.stages import StageReport


@contextmanager
def progress_bar(*, shown: bool = True) -> Iterator[StageReport]:
    """Yields a callback with the name of a stage and the share of it that is done; it draws on a terminal alone.

    Args:
        shown: false to draw nothing.
    """
    if not shown or not sys.stderr.isatty():
        yield lambda stage, done: None  # noqa: ARG005 - the parameters are those of the callback
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    console = Console(file=sys.stderr)
    with Progress(*columns, console=console, refresh_per_second=4, transient=True, redirect_stdout=False) as bars:
        task = bars.add_task("reading", total=1.0)
        yield lambda stage, done: bars.update(task, description=stage, completed=done)


@contextmanager
def leaving_nothing(what: str) -> Iterator[None]:
    """Ends the command with a sentence at Ctrl-C and at SIGTERM, after files that are not complete were removed."""

    def stop(number: int, frame: Any) -> None:  # noqa: ARG001 - the parameters of a signal handler
        raise _StoppedError(number)

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    except (KeyboardInterrupt, _StoppedError) as error:
        number = error.args[0] if isinstance(error, _StoppedError) else signal.SIGINT
        typer.echo(f"hpcmtl: interrupted: {what}", err=True)
        raise typer.Exit(128 + int(number)) from None
    finally:
        signal.signal(signal.SIGTERM, before)


class _StoppedError(BaseException):
    """The command was asked to end; no handler of errors may keep it from that."""
