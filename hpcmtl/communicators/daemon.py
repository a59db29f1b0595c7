"""The launcher's daemon of this node: the parent of the ranks, directly or through a shell or a container."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import threading
import time
from contextlib import suppress
from functools import cache
from typing import TYPE_CHECKING, NoReturn

from hpcmtl.communicators.exit_code_file import write_exit_code

if TYPE_CHECKING:
    import psutil

_log = logging.getLogger(__name__)

SECONDS_BETWEEN_CHECKS = 1.0
_SECONDS_TO_END = 20  # then the daemon is killed: it would wait for ever for a host that is gone
_SECONDS_TO_NOTE = 0.5  # lets the daemon receive MPI_Abort first, so that its exit code becomes that of the run
_DAEMONS = {"prterun", "prted", "prte", "orted", "orterun", "mpirun", "mpiexec", "slurmstepd", "hydra_pmi_proxy"}


@cache
def end_with_daemon(interval: float = SECONDS_BETWEEN_CHECKS) -> None:
    """Starts a thread that ends this process soon after the daemon that started it has died; returns at once.

    Ranks that survive the loss of others also survive their daemon (Open MPI 5.0.11), and would occupy the node. Only
    for processes started by a launcher: others may outlive their parent, a shell. One thread serves all runs of a
    process.
    """
    places = (launchers_daemon(), os.getppid(), interval)
    threading.Thread(target=_watch, args=places, name="daemon-watch", daemon=True).start()


def _watch(daemon: int, parent: int, interval: float) -> None:
    while os.getppid() == parent and (daemon == parent or _is_there(daemon)):
        time.sleep(interval)
    _log.error("the launcher's daemon of this node, process %d, is dead: this rank ends itself", daemon)
    os._exit(1)


def end_daemon_soon(code: int) -> None:
    """Sends SIGTERM to the daemon after a moment, and SIGKILL later, even if this process has ended; ends the run.

    If ranks may survive the loss of others, MPI_Abort ends only its own rank (Open MPI 5.0.11): with up to 3 ranks
    mpirun exits and the others stay, with more it waits for them. Its exit code may be that of any rank, so the code of
    this one is written.
    """
    write_exit_code(code, first=True)
    daemon = launchers_daemon()
    wait = f"for second in $(seq {_SECONDS_TO_END}); do sleep 1; kill -0 {daemon} || exit; done"
    subprocess.Popen(  # noqa: S603 - our own arguments
        ["/bin/sh", "-c", f"sleep {_SECONDS_TO_NOTE}; kill -TERM {daemon}; {wait}; kill -KILL {daemon}"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


def kill_this_process() -> NoReturn:
    """Ends this process by SIGKILL, once its log files are closed; its launcher takes it for a lost rank."""
    try:
        logging.shutdown()
    finally:
        os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError("this process outlived SIGKILL")


def stopped_siblings() -> list[int]:
    """Returns the processes of the same parent that are stopped, as by SIGSTOP.

    The list is empty if the parent is process 1, whose children may belong to anything.
    """
    import psutil

    parent = os.getppid()
    try:
        siblings = psutil.Process(parent).children() if parent > 1 else []
    except psutil.Error:
        return []
    return [sibling.pid for sibling in siblings if _status(sibling) in {"stopped", "tracing-stop"}]


def launchers_daemon() -> int:
    """Returns the nearest ancestor that is a launcher's daemon, or the parent if there is none."""
    import psutil

    with suppress(psutil.Error):
        for ancestor in psutil.Process().parents():
            if ancestor.name() in _DAEMONS:
                return int(ancestor.pid)
    return os.getppid()


def _is_there(number: int) -> bool:
    import psutil

    try:
        process = psutil.Process(number)
        return process.name() in _DAEMONS and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


def _status(process: psutil.Process) -> str:
    """Returns the status of a process; empty if it has ended."""
    import psutil

    try:
        return str(process.status())
    except psutil.Error:
        return ""
