"""Readable errors of the MPI communicator."""

from __future__ import annotations

from typing import Any

from hpcmtl.communicators.base import CommunicationError, RankLostError


class ReadableErrors:
    """Turns the MPI errors of one call into readable ones; the original error is their cause.

    A class, since `contextlib.contextmanager` would double the cost of an idle control thread, which probes often.
    """

    __slots__ = ("_comm", "_method", "_mpi")

    def __init__(self, comm: Any, mpi: Any, method: str) -> None:
        self._comm = comm
        self._mpi = mpi
        self._method = method

    def __enter__(self) -> None:
        if self._comm.native == self._mpi.COMM_NULL:  # some verbs of Open MPI would end the process
            raise CommunicationError(described(self._comm, self._method, "this communicator has been freed"))

    def __exit__(self, _kind: object, error: BaseException | None, _traceback: object) -> None:
        if isinstance(error, self._mpi.Exception):
            mpi = self._mpi
            lost = error.Get_error_class() in {mpi.ERR_PROC_FAILED, mpi.ERR_PROC_FAILED_PENDING, mpi.ERR_REVOKED}
            kind = RankLostError if lost else CommunicationError
            raise kind(described(self._comm, self._method, error)) from error


def described(comm: Any, method: str, cause: object) -> str:
    """Returns a message with the rank, the method and the cause of an error."""
    return f"rank {comm.rank} of {comm.size}: {method} failed: {cause}"
