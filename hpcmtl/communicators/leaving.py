"""MPI's world after ranks of it were lost: who leads those that live, and how they leave."""

from __future__ import annotations

import logging
import os
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, NoReturn

from hpcmtl.communicators.mpi import MpiCommunicator

if TYPE_CHECKING:
    from hpcmtl.communicators.base import Communicator


def leads(world: Communicator) -> bool:
    """Whether this is the lowest rank of the world that lives."""
    assert isinstance(world, MpiCommunicator)
    with suppress(NotImplementedError):  # an MPI without ULFM
        everyone, lost = world.native.Get_group(), world.native.Get_failed()
        lost_ranks = lost.Translate_ranks(list(range(lost.Get_size())), everyone)
        return world.rank == min(set(range(world.size)) - set(lost_ranks))
    return world.rank == 0


def leave(world: Communicator, code: int) -> NoReturn:
    """End this process with an exit code (collective over the ranks that live).

    mpirun's exit code is the first of the living ranks' that is not 0, and 0 if there is none; of killed ones nothing
    counts. MPI is finalized here, since mpi4py has a rank that ends with another code than 0 call `MPI_Abort`, on all
    ranks at once (see `MpiCommunicator.abort`). After a death this waits for ever at times (Open MPI 5.0.11; seen
    twice, on a loaded machine): then the process ends without it.
    """
    assert isinstance(world, MpiCommunicator)
    if world.is_revoked():
        logging.shutdown()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code if leads(world) else 0)
    world.finalize()
    sys.exit(code)
