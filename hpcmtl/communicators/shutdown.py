"""MPI's world after ranks of it were lost: who leads those that live, and how they leave."""

from __future__ import annotations

import logging
import os
import sys
from typing import TYPE_CHECKING, NoReturn

from hpcmtl.communicators.mpi import MpiCommunicator

if TYPE_CHECKING:
    from hpcmtl.communicators.base import Communicator


def leads(world: Communicator) -> bool:
    """Whether this is the lowest rank of the world that lives."""
    return world.rank == min(set(range(world.size)) - _lost(world))


def leave(world: Communicator, code: int) -> NoReturn:
    """End this process with an exit code (collective over the ranks that live).

    mpirun's exit code is the first of the living ranks' that is not 0, and 0 if there is none; of killed ones nothing
    counts. MPI is finalized here, since mpi4py has a rank that ends with another code than 0 call `MPI_Abort`, on all
    ranks at once (see `MpiCommunicator.abort`). After a death this waits for ever at times (Open MPI 5.0.11; seen
    twice, on a loaded machine): then the process ends without it.
    """
    assert isinstance(world, MpiCommunicator)
    if world.is_revoked() or _lost(world):
        logging.shutdown()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code if leads(world) else 0)
    world.finalize()
    sys.exit(code)


def _lost(world: Communicator) -> set[int]:
    """The ranks of the world that are known to have died."""
    assert isinstance(world, MpiCommunicator)
    try:
        everyone, lost = world.native.Get_group(), world.native.Get_failed()
    except NotImplementedError:  # an MPI without ULFM
        return set()
    return set(lost.Translate_ranks(list(range(lost.Get_size())), everyone))
