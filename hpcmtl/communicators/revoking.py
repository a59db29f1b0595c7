"""Revocation of communicators that a library keeps to itself, when a rank is lost.

A collective ends with an error on the ranks that exchange with a dead one. A rank that exchanges with these alone waits
for ever, unless one of them revokes the communicator (ULFM). Some libraries do not, and give no handle of their
communicators. MPI does: a new communicator has the error handler of the one that it is made of, and the handler is
called with the communicator whose operation failed (MPI 4.1, section 9.3).
"""

from __future__ import annotations

import time
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hpcmtl.communicators.mpi import MpiCommunicator

SECONDS_TO_SETTLE = 0.1
"""Age from which on a communicator may be revoked: Open MPI 5.0.11 crashes a rank that is still making it."""

_made_at = 0.0


@contextmanager
def copies_revoke_themselves(comm: MpiCommunicator) -> Iterator[None]:
    """Gives communicators that are made of one in a block a handler that revokes them when a rank is lost.

    Has no effect on an MPI that ends all ranks when one is lost.
    """
    global _made_at  # noqa: PLW0603 - mpi4py has room for few handlers, and a process has one library at a time
    if not comm.survives_losses:
        yield
        return
    before = comm.native.Get_errhandler()
    comm.native.Set_errhandler(_handler(comm._mpi))  # noqa: SLF001 - part of the same adapter
    try:
        yield
    finally:
        comm.native.Set_errhandler(before)
        before.Free()
        _made_at = time.monotonic()


@cache
def _handler(mpi: Any) -> Any:
    """Returns the handler, made by mpi4py's module."""
    lost = {mpi.ERR_PROC_FAILED, mpi.ERR_PROC_FAILED_PENDING}

    def revoke(failed: Any, code: int) -> None:
        settled = time.monotonic() - _made_at > SECONDS_TO_SETTLE
        if mpi.Get_error_class(code) in lost and settled and not failed.Is_revoked():
            failed.Revoke()

    return mpi.Comm.Create_errhandler(revoke)
