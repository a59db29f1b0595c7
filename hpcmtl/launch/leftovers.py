"""Ends the processes that a task has left behind: mpirun waits for each that has the output of a rank open."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    import psutil

SECONDS_TO_END = 2.0


def end_leftovers() -> list[str]:
    """Ends the child processes of this one, and what they started; returns their names and numbers."""
    import psutil

    left = {process.pid: process for process in _left()}
    names = [f"{_name(process)} ({pid})" for pid, process in left.items()]
    for process in left.values():
        with suppress(psutil.Error):
            process.terminate()
    for process in psutil.wait_procs(left.values(), SECONDS_TO_END)[1] if left else ():
        with suppress(psutil.Error):
            process.kill()
    return names


def _left() -> Iterator[psutil.Process]:
    """Yields descendants, and processes that were detached from this one and still have its output open."""
    import psutil

    me = psutil.Process()
    with suppress(psutil.Error):
        yield from me.children(recursive=True)
    ours = {target for number in (1, 2) if (target := _target(me.pid, number)).startswith("pipe:")}
    outside = {me.pid, *(each.pid for each in me.parents())}
    for pid in psutil.pids() if ours else ():
        if pid not in outside and ours & {_target(pid, 1), _target(pid, 2)}:
            with suppress(psutil.Error):
                yield psutil.Process(pid)


def _target(pid: int, number: int) -> str:
    try:
        return str(Path(f"/proc/{pid}/fd/{number}").readlink())
    except OSError:  # ended, or of another user
        return ""


def _name(process: psutil.Process) -> str:
    import psutil

    try:
        return str(process.name())
    except psutil.Error:
        return "ended"
