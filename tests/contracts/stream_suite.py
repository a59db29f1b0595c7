"""What the command stream keeps over any `Communicator`; as a program, over MPI, with 10,000 commands.

Rank 0 sends, the others obey. Blocks change from command to command, so that a command comes now from the sender and
now from a fellow receiver.
"""

from __future__ import annotations

import random
import sys
import threading
import time
from typing import TYPE_CHECKING

import pytest

from hpcmtl.communicators.base import CommunicationError
from hpcmtl.communicators.outcome import abort_on_error
from hpcmtl.dispatch.transport.stream import CommandReceiver, CommandSender

if TYPE_CHECKING:
    from hpcmtl.communicators.base import Communicator

NEVER = 60.0


def blocks(size: int, count: int, seed: int = 0) -> list[range]:
    """Contiguous blocks of the ranks after 0, at random."""
    chance, found = random.Random(seed), []
    for _ in range(count):
        start, stop = sorted(chance.sample(range(1, size + 1), 2))
        found.append(range(start, stop))
    return found


def obeyed(comm: Communicator, credit: int, pause: float = 0.0) -> list[object]:
    """Obey until None comes; return what came, in order."""
    receiver, got = CommandReceiver(comm, credit=credit), []

    def handle(value: object) -> None:
        time.sleep(pause)  # stands for a receiver that has other things to do
        got.append(value)

    while not got or got[-1] is not None:
        receiver.obey(handle, threading.Event(), NEVER)
    receiver.close()
    return got[:-1]


def check_nothing_is_lost_or_reordered(comm: Communicator, count: int = 500) -> None:
    """Every rank does exactly the commands of the blocks that it is in, in the order given."""
    chosen = blocks(comm.size, count)
    if comm.rank == 0:
        sender = CommandSender(comm, threading.Event(), narrow=1)
        for number, block in enumerate(chosen):
            (sender.call if number % 100 == 0 else sender.post)(number, block)
        sender.call(None, range(1, comm.size))
        sender.close()
        assert [sender.pending(rank) for rank in range(1, comm.size)] == [0] * (comm.size - 1)
    else:
        assert obeyed(comm, 64) == [number for number, block in enumerate(chosen) if comm.rank in block]


def check_credit(comm: Communicator) -> None:
    """A slow rank never has more commands than its credit, and those who do not need it are not held up."""
    credit, last = 4, comm.size - 1
    if comm.rank == 0:
        sender = CommandSender(comm, threading.Event(), credit)
        started = time.monotonic()
        for number in range(credit):
            sender.post(number, [last])
        at_once = time.monotonic() - started
        for number in range(credit, 40):
            sender.post(number, [last])
            assert sender.pending(last) <= credit
        assert at_once < time.monotonic() - started > 30 * 0.005
        sender.call(None, range(1, comm.size))
        sender.close()
    else:
        assert obeyed(comm, credit, 0.005) == (list(range(40)) if comm.rank == last else [])


def check_call_returns_when_it_is_done(comm: Communicator) -> None:
    """A synchronous command has been done by all its ranks when it returns; what was posted before it, too."""
    if comm.rank == 0:
        sender = CommandSender(comm, threading.Event(), narrow=1)
        started = time.monotonic()
        sender.post("slow", range(1, comm.size))
        posted = time.monotonic() - started
        sender.call("slow", range(1, comm.size))
        called = time.monotonic() - started
        sender.call(None, range(1, comm.size))
        sender.close()
        assert posted < 0.1 <= called
    else:
        assert obeyed(comm, 64, 0.05) == ["slow", "slow"]


def check_a_silent_rank_is_named(comm: Communicator) -> None:
    """A wait for a rank that says nothing ends with its number; the stream can be used afterwards."""
    if comm.rank == 0:
        sender = CommandSender(comm, threading.Event(), patience=0.05)
        with pytest.raises(CommunicationError, match="ranks 1 have not done their commands: no word for 0.05 s"):
            sender.call("hello", [1])
    comm.barrier()
    if comm.rank == 0:
        sender.post(None, range(1, comm.size))
        sender.close()
    else:
        assert obeyed(comm, 64) == (["hello"] if comm.rank == 1 else [])


CHECKS = [value for name, value in list(globals().items()) if name.startswith("check_")]


def main() -> None:
    """Run all checks on this rank, the first with as many commands as the command line says."""
    from hpcmtl.communicators import mpi

    world = mpi.world()
    with abort_on_error(world):
        for check in CHECKS:
            comm = world.dup()
            started = time.perf_counter()
            check(comm, *([int(sys.argv[1])] if check is check_nothing_is_lost_or_reordered else []))
            comm.barrier()
            comm.free()
            if world.rank == 0:
                print(f"{check.__name__}: {time.perf_counter() - started:.2f} s", flush=True)
    if world.rank == 0:
        print(f"{len(CHECKS)} checks passed on {world.size} ranks")


if __name__ == "__main__":
    main()
