"""Properties of a `Communicator` when ranks die: one scenario for both adapters, on four ranks.

As a program, on the ranks of an mpirun that lets ranks outlive others, it runs over MPI.
"""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import numpy as np
import pytest

from hpcmtl.communicators.base import RankLostError

if TYPE_CHECKING:
    from hpcmtl.communicators.base import Communicator

RANKS = 4


def until_lost(comm: Communicator) -> None:
    """Look for messages until the probe says that a rank was lost."""
    pause = threading.Event()
    for _ in range(30_000):
        try:
            assert comm.iprobe() is None
        except RankLostError:
            return
        pause.wait(0.001)
    raise AssertionError("nobody was lost")


def revoked_from_another_thread(comm: Communicator) -> None:
    """A wait for a rank that lives and says nothing ends when any thread of any rank revokes."""
    with ThreadPoolExecutor() as threads:
        waiting = threads.submit(comm.recv, (comm.rank + 1) % comm.size, 9)
        if comm.rank == 0:
            for rank in range(1, comm.size):
                comm.recv(rank, 5)  # a revocation may overtake what another rank still waits for
            comm.revoke()
        else:
            comm.send("past all else", 0, 5)
        with pytest.raises(RankLostError):
            waiting.result(60)
    comm.revoke()  # once more does no harm
    with pytest.raises(RankLostError):
        comm.allgather(1)


def shrunk(comm: Communicator, expected: tuple[int, ...]) -> Communicator:
    """The rest of a communicator works as any other, and groups are made of it."""
    comm.revoke()
    smaller, survivors = comm.shrink()
    total = np.ones(1000)
    smaller.Allreduce(total)
    group = smaller.create_group(range(smaller.size - 1), tag=0) if smaller.rank < smaller.size - 1 else None

    assert survivors == expected
    assert smaller.allgather(survivors[smaller.rank]) == list(expected)
    assert (total == len(expected)).all()
    assert group is None or group.allgather(smaller.rank) == list(range(smaller.size - 1))
    return smaller


def survive(world: Communicator) -> int:
    """Lose rank 1 out of four, and then the first of those that are left, while the others are about to shrink."""
    spare, beside = world.dup(), world.dup()
    group = world.create_group([2, 3] if world.rank > 1 else [0, 1], tag=0)
    world.barrier()
    if world.rank == 1:
        world.die()
    until_lost(world)
    revoked_from_another_thread(shrunk(beside, (0, 2, 3)))
    if world.rank > 1:  # a group that lost nobody has heard of nothing
        assert group.allgather(world.rank) == [2, 3]
    smaller = shrunk(spare, (0, 2, 3))
    again = smaller.dup()
    smaller.barrier()  # Open MPI 5.0.11 crashes if it hears of a revocation while it makes the communicator
    if smaller.rank == 0:
        again.die()
    shrunk(again, (1, 2))
    return world.rank


if __name__ == "__main__":
    from hpcmtl.communicators.mpi import world as mpi_world
    from hpcmtl.communicators.shutdown import leave

    ranks = mpi_world()
    print(f"rank {survive(ranks)} survived", flush=True)
    ranks.revoke()
    leave(ranks, 0)
