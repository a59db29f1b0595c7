"""The launcher's daemon of this node (Open MPI's prterun or prted, slurmstepd), whose children the ranks are."""

from __future__ import annotations

import logging
import os
import subprocess
import threading
import time
from contextlib import suppress
from pathlib import Path

_log = logging.getLogger(__name__)

SECONDS_BETWEEN_LOOKS = 1.0
_SECONDS_TO_NOTE = 0.5  # for the daemon to hear of MPI_Abort first: its exit code is then the run's, if it can be


def end_with_daemon(interval: float = SECONDS_BETWEEN_LOOKS) -> None:
    """Have this process end soon after the daemon that started it has died, by a thread; returns at once.

    Where ranks outlive others they outlive their daemon as well (Open MPI 5.0.11), and keep the node from whoever comes
    next. Only for processes that a launcher has started: others may outlive their parent, a shell.
    """
    daemon = os.getppid()
    threading.Thread(target=_watch, args=(daemon, interval), name="daemon-watch", daemon=True).start()


def _watch(daemon: int, interval: float) -> None:
    while os.getppid() == daemon:
        time.sleep(interval)
    _log.error("the launcher's daemon of this node, process %d, is dead: this rank ends itself", daemon)
    os._exit(1)


def end_daemon_soon() -> None:
    """Have the daemon sent SIGTERM in a moment, even if this process is not there any more; it ends the whole run.

    Where ranks may outlive others MPI_Abort ends its own rank and nobody else (Open MPI 5.0.11): on up to 3 ranks
    mpirun leaves and the others stay, on more it waits for them.
    """
    subprocess.Popen(  # noqa: S603 - our own words
        ["/bin/sh", "-c", f"sleep {_SECONDS_TO_NOTE}; kill -TERM {os.getppid()}"],
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
    found = []
    for folder in Path("/proc").glob("[0-9]*") if parent > 1 else ():
        with suppress(OSError):  # it has ended meanwhile
            text = (folder / "stat").read_text(encoding="utf-8", errors="replace")
            state, its_parent = text.rpartition(")")[2].split()[:2]  # after the name, which may hold anything
            if state in {"T", "t"} and int(its_parent) == parent:
                found.append(int(folder.name))
    return found
