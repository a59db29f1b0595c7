"""Finds a run of which no process lives: known at once on the host of its ranks, and nowhere else."""

from __future__ import annotations

import os
import socket
from typing import TYPE_CHECKING, Any

from hpcmtl.results.ledger import is_free
from hpcmtl.results.status.status import read_status

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hpcmtl.results.rundir.directory import RunDirectory
    from hpcmtl.results.status.progress_reader import ProgressReader


def read_liveness(
    run: RunDirectory, now: float | None = None, reader: ProgressReader | None = None
) -> tuple[dict[str, Any], bool]:
    """Returns the status of a run, and true if its last attempt has not ended and surely no process of it is left.

    An attempt locks its ledger, and before that the claim. On another host, or on a file system without locks, nothing
    is known. After the loss of rank 0 another rank opens the ledger again, so no rank may be alive either.

    Args:
        run: the run directory.
        now: seconds since 1970; the clock's by default.
        reader: reader of this run, see `read_status`.
    """
    # Before and after the ledger is read: an attempt may end, or another begin, meanwhile.
    free = _is_free(run)
    status = read_status(run.path, now, reader)
    if not free or not status["attempt"] or status["ended"] or status["record"]:
        return status, False
    return status, status["host"] == socket.gethostname() and not _has_ranks(status) and _is_free(run)


def _is_free(run: RunDirectory) -> bool:
    return is_free(run.ledger_file) and is_free(run.claim_file)


def _has_ranks(status: Mapping[str, Any]) -> bool:
    """Returns true if a rank of the last heartbeats is alive, or may be so on another host."""
    here = socket.gethostname()
    if not status["rank_heartbeats"] or any(node["host"] != here for node in status["nodes"]):
        return True  # or none has said anything yet
    return any(_is_alive(int(each.get("pid", 0))) for each in status["rank_heartbeats"])


def _is_alive(pid: int) -> bool:
    if pid <= 0:
        return True  # of a version that does not say
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:  # a process of another user
        return True
    return True
