"""The launcher's daemon of this node, whose children the ranks are, by themselves or within a shell or a container."""

from __future__ import annotations

import logging
import os
import subprocess
import threading
import time
from functools import cache
from pathlib import Path
from typing import NamedTuple

_log = logging.getLogger(__name__)

SECONDS_BETWEEN_LOOKS = 1.0
_SECONDS_TO_NOTE = 0.5  # for the daemon to hear of MPI_Abort first: its exit code is then the run's, if it can be
_DAEMONS = {"prterun", "prted", "mpirun", "mpiexec", "slurmstepd", "hydra_pmi_proxy"}


class _Process(NamedTuple):
    """What /proc says of a process."""

    name: str
    state: str
    parent: int


@cache
def end_with_daemon(interval: float = SECONDS_BETWEEN_LOOKS) -> None:
    """Have this process end soon after the daemon that started it has died, by a thread; returns at once.

    Where ranks outlive others they outlive their daemon as well (Open MPI 5.0.11), and keep the node from whoever comes
    next. Only for processes that a launcher has started: others may outlive their parent, a shell. Once for all runs
    of a process.
    """
    places = (_daemon(), os.getppid(), interval)
    threading.Thread(target=_watch, args=places, name="daemon-watch", daemon=True).start()


def _watch(daemon: int, parent: int, interval: float) -> None:
    while os.getppid() == parent and (daemon == parent or _is_there(daemon)):
        time.sleep(interval)
    _log.error("the launcher's daemon of this node, process %d, is dead: this rank ends itself", daemon)
    os._exit(1)


def end_daemon_soon() -> None:
    """Have the daemon sent SIGTERM in a moment, even if this process is not there any more; it ends the whole run.

    Where ranks may outlive others MPI_Abort ends its own rank and nobody else (Open MPI 5.0.11): on up to 3 ranks
    mpirun leaves and the others stay, on more it waits for them.
    """
    subprocess.Popen(  # noqa: S603 - our own words
        ["/bin/sh", "-c", f"sleep {_SECONDS_TO_NOTE}; kill -TERM {_daemon()}"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


def stopped_siblings() -> list[int]:
    """Processes of the same parent that are stopped, as by SIGSTOP; none where there is no /proc.

    None either where the parent is the first of all processes, whose children may be anybody's.
    """
    parent = os.getppid()
    numbers = [int(folder.name) for folder in Path("/proc").glob("[0-9]*")] if parent > 1 else []
    found = {number: _process(number) for number in numbers}
    return [number for number, each in found.items() if each and each.parent == parent and each.state in {"T", "t"}]


def _daemon() -> int:
    """The nearest ancestor that is a launcher's daemon, or the parent, where none can be seen."""
    number = os.getppid()
    while number > 1 and (process := _process(number)) is not None:
        if process.name in _DAEMONS:
            return number
        number = process.parent
    return os.getppid()


def _is_there(number: int) -> bool:
    process = _process(number)
    return process is not None and process.name in _DAEMONS and process.state != "Z"


def _process(number: int) -> _Process | None:
    """What is known of a process; None if it has ended."""
    try:
        text = Path(f"/proc/{number}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    before, _, after = text.rpartition(")")  # the name is in parentheses and may hold anything
    state, parent = after.split()[:2]
    return _Process(before.partition("(")[2], state, int(parent))
