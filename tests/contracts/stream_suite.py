"""Properties of the command stream over any `Communicator`; as a program, over MPI, with 10,000 commands.

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
from hpcmtl.communicators.polling import next_message
from hpcmtl.dispatch.transport.stream import CommandReceiver, CommandSender, StreamSettings

if TYPE_CHECKING:
    from collections.abc import Callable

    from hpcmtl.communicators.base import Communicator


def execute(receiver: CommandReceiver, comm: Communicator, handle: Callable[[object], None]) -> None:
    """Wait for one message and execute the commands whose turn it is."""
    message = next_message(comm, threading.Event(), 60.0)
    assert message is not None, "no command came"
    receiver.take(message, handle)


def await_all(sender: CommandSender) -> None:
    """Return when all ranks have executed all commands, the last of which asks for an acknowledgement."""
    end, never = time.monotonic() + 60.0, threading.Event()
    while not sender.all_executed():
        assert time.monotonic() < end, "a command was never executed"
        never.wait(0.0005)


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
        execute(receiver, comm, handle)
    receiver.close()
    return got[:-1]


def end(sender: CommandSender, comm: Communicator) -> None:
    """Send the last command and return when all ranks have executed it."""
    sender.post(None, range(1, comm.size), acknowledge=True)
    await_all(sender)
    sender.close()


def check_nothing_is_lost_or_reordered(comm: Communicator, count: int = 500) -> None:
    """Every rank does exactly the commands of the blocks that it is in, in the order given."""
    chosen = blocks(comm.size, count)
    if comm.rank == 0:
        sender = CommandSender(comm, threading.Event(), settings=StreamSettings(narrow=1))
        for number, block in enumerate(chosen):
            sender.post(number, block, acknowledge=number % 100 == 0)
        end(sender, comm)
        assert [sender.pending(rank) for rank in range(1, comm.size)] == [0] * (comm.size - 1)
    else:
        assert obeyed(comm, 64) == [number for number, block in enumerate(chosen) if comm.rank in block]


def check_credit(comm: Communicator) -> None:
    """A slow rank never has more commands than its credit, and those who do not need it are not held up."""
    credit, last = 4, comm.size - 1
    if comm.rank == 0:
        sender = CommandSender(comm, threading.Event(), settings=StreamSettings(credit=credit))
        started = time.monotonic()
        for number in range(credit):
            sender.post(number, [last])
        at_once = time.monotonic() - started
        for number in range(credit, 40):
            sender.post(number, [last])
            assert sender.pending(last) <= credit
        assert at_once < time.monotonic() - started > 30 * 0.005
        end(sender, comm)
    else:
        assert obeyed(comm, credit, 0.005) == (list(range(40)) if comm.rank == last else [])


def check_acknowledgements_come_when_all_is_executed(comm: Communicator) -> None:
    """An acknowledged command has been executed by all its ranks, and so has what was posted before it."""
    if comm.rank == 0:
        sender = CommandSender(comm, threading.Event(), settings=StreamSettings(narrow=1))
        started = time.monotonic()
        sender.post("slow", range(1, comm.size))
        posted = time.monotonic() - started
        sender.post("slow", range(1, comm.size), acknowledge=True)
        await_all(sender)
        acknowledged = time.monotonic() - started
        end(sender, comm)
        assert posted < 0.1 <= acknowledged
    else:
        assert obeyed(comm, 64, 0.05) == ["slow", "slow"]


def check_a_silent_rank_is_named(comm: Communicator) -> None:
    """A wait for a rank that says nothing ends with its number; the stream can be used afterwards."""
    if comm.rank == 0:
        sender = CommandSender(
            comm, threading.Event(), settings=StreamSettings(credit=1, patience=0.5)
        )  # of the end as well, on a busy machine
        sender.post("hello", [1])
        with pytest.raises(CommunicationError, match="ranks 1 have not executed their commands: no message for 0.5 s"):
            sender.post("again", [1])
    comm.barrier()
    if comm.rank == 0:
        end(sender, comm)
    else:
        assert obeyed(comm, 1) == (["hello"] if comm.rank == 1 else [])


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
