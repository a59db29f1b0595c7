"""Ends the processes that a task has left behind: mpirun waits for each that has the output of a rank open."""

from __future__ import annotations

import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    import psutil

SECONDS_TO_END = 2.0
# By these variables a process belongs to this rank and to no other one, also after it was detached.
_PLACE = ("OMPI_COMM_WORLD_RANK", "PMIX_NAMESPACE", "PMIX_RANK", "SLURM_JOB_ID", "SLURM_STEP_ID", "SLURM_PROCID")


def descendants() -> set[int]:
    """Returns the numbers of the processes that this one has started, such as those of a wrapper around the rank."""
    import psutil

    with suppress(psutil.Error):
        return {process.pid for process in psutil.Process().children(recursive=True)}
    return set()


def end_leftovers(known: Collection[int] = ()) -> list[str]:
    """Ends the processes that this one has started, and returns their names and numbers.

    Args:
        known: numbers of processes that were there before.
    """
    import psutil

    left = {process.pid: process for process in _left() if process.pid not in known}
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
        yield from (child for child in me.children(recursive=True) if not _ends_by_itself(child))
    ours = {target for number in (1, 2) if (target := _target(me.pid, number)).startswith("pipe:")}
    for process in psutil.process_iter() if ours else ():
        if process.pid != me.pid and ours & {_target(process.pid, 1), _target(process.pid, 2)}:
            with suppress(psutil.Error):
                if _place(process) == _place(me) and not _ends_by_itself(process):
                    yield process


def _ends_by_itself(process: psutil.Process) -> bool:
    """Returns whether a process has ended, or ends with this one, as the tracker of shared memory does."""
    import psutil

    tracker = sys.modules.get("multiprocessing.resource_tracker")
    number = getattr(getattr(tracker, "_resource_tracker", None), "_pid", None)
    with suppress(psutil.Error):
        return bool(process.pid == number or process.status() == psutil.STATUS_ZOMBIE)
    return True


def _place(process: psutil.Process) -> dict[str, str]:
    environ = process.environ()
    return {name: environ[name] for name in _PLACE if name in environ}


def _target(pid: int, number: int) -> str:
    try:
        return str(Path(f"/proc/{pid}/fd/{number}").readlink())
    except OSError:  # ended, or of another user
        return ""


def _name(process: psutil.Process) -> str:
    import psutil

    with suppress(psutil.Error):
        return str(process.name())
    return "ended"
