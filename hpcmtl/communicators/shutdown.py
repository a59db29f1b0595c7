"""Leaves an MPI world, also after ranks of it were lost."""

from __future__ import annotations

import atexit
import logging
import os
import sys
import threading
from typing import TYPE_CHECKING, NoReturn

from hpcmtl.communicators.mpi import MpiCommunicator

if TYPE_CHECKING:
    from hpcmtl.communicators.base import Communicator


def leads(world: Communicator) -> bool:
    """Returns whether this is the lowest rank of the world that lives."""
    return world.rank == min(set(range(world.size)) - _lost(world))


def leave(world: Communicator, code: int) -> NoReturn:
    """Ends this process with an exit code (collective over the living ranks).

    mpirun's exit code is the first one of a living rank that is not 0, and 0 if there is none; killed ranks do not
    count. MPI is finalized here: a rank that ends with another code than 0 calls `MPI_Abort` in mpi4py, on all ranks at
    once (see `MpiCommunicator.abort`). After a death `MPI_Finalize` waits for ever at times (Open MPI 5.0.11; seen
    twice, on a loaded machine), so the process then ends without it.
    """
    assert isinstance(world, MpiCommunicator)
    if not (world.is_revoked() or _lost(world)):
        world.finalize()
        if not _threads_left():
            sys.exit(code)
        atexit._run_exitfuncs()  # noqa: SLF001 - what users' code has asked for; the rest would wait for the threads
    elif not leads(world):
        code = 0
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def _threads_left() -> bool:
    """Returns whether a thread is left that the end of the interpreter would wait for."""
    return any(not thread.daemon and thread is not threading.main_thread() for thread in threading.enumerate())


def _lost(world: Communicator) -> set[int]:
    """Returns the ranks of the world that are known to have died."""
    assert isinstance(world, MpiCommunicator)
    try:
        everyone, lost = world.native.Get_group(), world.native.Get_failed()
    except NotImplementedError:  # an MPI without ULFM
        return set()
    return set(lost.Translate_ranks(list(range(lost.Get_size())), everyone))
