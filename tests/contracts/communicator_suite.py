"""Properties of every `Communicator`: one list of checks for all adapters, at any number of ranks.

Each check is called on all ranks with a communicator of its own. As a program, on the ranks of an mpirun, this file
runs all of them over MPI; `test_communicators.py` runs them over threads as well.
"""

from __future__ import annotations

import random
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import numpy as np
import pytest
from run_suite import run_all

from hpcmtl.communicators.base import CommunicationError, Communicator, Envelope
from hpcmtl.communicators.outcome import on_root
from hpcmtl.communicators.polling import Message, next_message
from hpcmtl.errors import InputError, Problem

if TYPE_CHECKING:
    from collections.abc import Callable

BIG = 8_000_000  # bytes; far beyond what MPI sends without waiting for a receiver
NEVER = 60.0  # seconds until a wait gives up that is sure to end sooner


def until(condition: Callable[[], object]) -> None:
    """Wait for what the other ranks bring about; MPI must be asked again and again."""
    pause = threading.Event()
    for _ in range(int(NEVER / 0.001)):
        if condition():
            return
        pause.wait(0.001)
    raise AssertionError("it never came true")


def neighbours(comm: Communicator) -> tuple[int, int]:
    """Return the ranks before and after this one, on a ring."""
    return (comm.rank - 1) % comm.size, (comm.rank + 1) % comm.size


def check_ranks_are_numbered(comm: Communicator) -> None:
    """Every rank has a number of its own below size."""
    assert comm.allgather(comm.rank) == list(range(comm.size))


def check_order_within_a_tag(comm: Communicator) -> None:
    """Messages of one tag come in the order sent; another tag can be taken first."""
    before, after = neighbours(comm)
    sent = [comm.isend((comm.rank, text), after, tag) for text, tag in [("a", 1), ("b", 1), ("c", 2)]]
    received = [comm.recv(before, 2), comm.recv(before, 1), comm.recv(before, 1)]
    for handle in sent:
        handle.wait()

    assert received == [(before, "c"), (before, "a"), (before, "b")]


def check_from_any_rank(comm: Communicator) -> None:
    """Rank 0 takes one message from each rank, in whatever order they come."""
    handle = comm.isend(comm.rank, 0, tag=comm.rank)
    received = sorted(comm.recv() for _ in range(comm.size)) if comm.rank == 0 else None
    handle.wait()

    assert received == (list(range(comm.size)) if comm.rank == 0 else None)


def check_iprobe(comm: Communicator) -> None:
    """A probe tells rank and tag of a message, leaves it there, and is None when nothing fits."""
    before, after = neighbours(comm)

    assert comm.iprobe() is None
    comm.barrier()
    handle = comm.isend("hello", after, tag=7)
    until(comm.iprobe)
    assert comm.iprobe() == comm.iprobe(before, 7) == Envelope(before, 7)
    assert comm.iprobe(tag=8) is None
    assert comm.recv() == "hello"
    assert comm.iprobe() is None
    handle.wait()


def check_isend_does_not_wait(comm: Communicator) -> None:
    """A big message can be sent when nobody receives yet: the barrier lies between the two."""
    before, after = neighbours(comm)
    handle = comm.isend(bytes(BIG), after)
    comm.barrier()
    received = comm.recv(before)
    until(handle.test)

    assert len(received) == BIG


def check_collectives_of_values(comm: Communicator) -> None:
    """Big values arrive whole, from every root; only the root of a gather gets the list."""
    for root in range(comm.size):
        array = np.arange(BIG // 8) + root
        received = comm.bcast({"array": array} if comm.rank == root else None, root)
        gathered = comm.gather((comm.rank, array[:1000] * comm.rank), root)

        assert np.array_equal(received["array"], array)
        assert (gathered is None) == (comm.rank != root)
        for rank, (number, part) in enumerate(gathered or []):
            assert number == rank
            assert np.array_equal(part, array[:1000] * rank)


def check_values_are_not_shared(comm: Communicator) -> None:
    """A change that one rank makes to a value it got is not seen by the others."""
    value = comm.bcast([] if comm.rank == 0 else None)
    value.append(comm.rank)
    comm.barrier()

    assert value == [comm.rank]


def check_arrays_from_rank_to_rank(comm: Communicator) -> None:
    """An array goes round the ring and comes back with what every rank added."""
    before, after = neighbours(comm)
    array = np.zeros((100, 300), np.float32)
    if comm.rank > 0:
        comm.Recv(array, before, tag=3)
    array += comm.rank
    if comm.size > 1:
        comm.Send(array, after, tag=3)
    if comm.size > 1 and comm.rank == 0:
        comm.Recv(array, before, tag=3)

    assert comm.rank > 0 or (array == sum(range(comm.size))).all()


def check_arrays_sent_without_waiting(comm: Communicator) -> None:
    """A big array can be sent when nobody receives yet, and its handle tells when it has left."""
    before, after = neighbours(comm)
    array = np.full(BIG, comm.rank, np.uint8)
    handle = comm.Isend(array, after, tag=4)
    comm.barrier()
    received = np.empty(BIG, np.uint8)
    comm.Recv(received, before, tag=4)
    until(handle.test)
    handle.wait()

    assert (received == before).all()


def check_array_of_another_size(comm: Communicator) -> None:
    """A receiver that expects a longer or a shorter array is told, not left with half of it."""
    if comm.size == 1 or comm.rank > 1:
        return
    if comm.rank == 0:
        comm.Send(np.ones(10), 1)
        comm.Send(np.ones(10), 1)
        return
    for length in (9, 11):
        with pytest.raises(CommunicationError, match=rf"rank 1 of {comm.size}: Recv\(source=0"):
            comm.Recv(np.zeros(length), 0)


def check_arrays_under_way(comm: Communicator) -> None:
    """Big arrays cross between neighbours that both send first; what is asked for first is what came first."""
    before, after = neighbours(comm)
    received = [np.empty(BIG // 8) for _ in range(2)]
    receiving = [comm.Irecv(array, before, tag=4) for array in received]
    sending = [comm.Isend(np.full(BIG // 8, 10.0 * comm.rank + number), after, tag=4) for number in range(2)]
    receiving[1].wait()
    until(receiving[0].test)
    for handle in sending:
        handle.wait()

    assert [array[[0, -1]].tolist() for array in received] == [[10.0 * before + n] * 2 for n in range(2)]
    assert receiving[1].test()


def check_arrays_under_way_of_another_size(comm: Communicator) -> None:
    """A receiver that expects a longer or a shorter array is told when it waits."""
    if comm.size == 1:  # Open MPI cuts what a rank sends itself and says nothing
        return
    before, after = neighbours(comm)
    for length in (9, 11):
        receiving = comm.Irecv(np.zeros(length), before, tag=4)
        sending = comm.Isend(np.ones(10), after, tag=4)
        with pytest.raises(CommunicationError, match=rf"rank {comm.rank} of {comm.size}: Irecv\(source={before}"):
            receiving.wait()
        sending.wait()


def check_a_second_thread_on_the_same_communicator(comm: Communicator) -> None:
    """A thread that takes requests by their tag does not disturb the main thread, which takes the answers by theirs."""
    before, after = neighbours(comm)
    rounds = 30

    def serve() -> None:
        for _ in range(rounds):
            until(lambda: comm.iprobe(tag=1))
            length = comm.recv(tag=1)
            comm.Isend(np.full(length, comm.rank), before, tag=2).wait()

    with ThreadPoolExecutor() as threads:
        serving = threads.submit(serve)
        for number in range(rounds):
            answer = np.empty(20_000 * (number % 2) + 1, np.int64)
            receiving = comm.Irecv(answer, after, tag=2)
            comm.isend(len(answer), after, tag=1).wait()
            receiving.wait()

            assert (answer == after).all()
        serving.result()


def check_arrays_that_cannot_travel(comm: Communicator) -> None:
    """Uppercase verbs refuse, on the spot, arrays with gaps and dtypes that do not add up."""
    with pytest.raises(ValueError, match="contiguous"):
        comm.Bcast(np.zeros((4, 4))[:, 0])
    with pytest.raises(ValueError, match="found bool; use uint8"):
        comm.Allreduce(np.zeros(4, bool))


def check_bcast_of_arrays(comm: Communicator) -> None:
    """Every root's array overwrites all others; an empty one is fine."""
    for root in range(comm.size):
        array = np.full((3, 5), comm.rank, np.int64)
        comm.Bcast(array, root)
        comm.Bcast(np.zeros(0, np.float32), root)

        assert (array == root).all()


def check_allreduce(comm: Communicator) -> None:
    """Sum, max and min are taken element by element, in place, in the dtype of the array."""
    ranks = np.arange(1, comm.size + 1)
    for dtype in ("float16", "float32", "float64", "int32", "int64", "uint8"):
        for op, expected in (("sum", ranks.sum()), ("max", ranks.max()), ("min", 1)):
            array = np.full((7, 11), comm.rank + 1, dtype)
            comm.Allreduce(array, op)

            assert array.dtype == dtype
            assert (array == expected).all(), (dtype, op, array)


def check_allreduce_is_the_same_everywhere(comm: Communicator) -> None:
    """Rounding may depend on the order of summation, but not on the rank that looks at it."""
    array = np.random.default_rng(comm.rank).normal(size=100_003).astype(np.float32)
    comm.Allreduce(array)

    assert len(set(comm.allgather(array.tobytes()))) == 1


def check_reduce_scatter_block(comm: Communicator) -> None:
    """Each rank gets its block of the sum, and what is sent stays as it is; blocks may be empty, or large."""
    for dtype, length in (("float32", 3), ("float64", 3), ("int64", 3), ("float64", 100_003)):
        array = np.arange(length * comm.size, dtype=dtype) + comm.rank
        sent, block = array.copy(), np.zeros(length, dtype)
        comm.Reduce_scatter_block(array, block)
        whole = np.arange(length * comm.size) * comm.size + sum(range(comm.size))

        assert (array == sent).all()
        assert (block == whole[length * comm.rank : length * (comm.rank + 1)]).all(), (dtype, block)
    comm.Reduce_scatter_block(np.zeros(0, np.float32), np.zeros(0, np.float32))


def check_allgather_of_arrays(comm: Communicator) -> None:
    """Every rank gets the blocks of all ranks, in their order."""
    array = np.full((comm.size, 4), -1, np.int32)
    comm.Allgather(np.full(4, comm.rank, np.int32), array)
    comm.Allgather(np.zeros(0, np.float32), np.zeros(0, np.float32))

    assert (array == np.arange(comm.size)[:, None]).all()


def check_groups_side_by_side(comm: Communicator) -> None:
    """Two groups are made and work at the same time, each at its pace, without the rest of the world."""
    half = comm.size // 2
    ranks = range(half) if comm.rank < half else range(half, comm.size)
    group = comm.create_group(ranks, tag=int(comm.rank < half))
    array = np.ones(1000)
    for _ in range(5 if comm.rank < half else 17):
        comm_sum = np.full(1, comm.rank)
        group.Allreduce(comm_sum)
        group.Allreduce(array, "max")

        assert comm_sum[0] == sum(ranks)
    assert (group.rank, group.size) == (comm.rank - ranks.start, len(ranks))
    assert group.allgather(comm.rank) == list(ranks)
    group.free()


def check_group_beside_messages(comm: Communicator) -> None:
    """A group is made while the ranks outside it talk on the parent, and its messages are its own."""
    if comm.rank == comm.size - 1:
        for rank in range(comm.size - 1):
            comm.send("outside", rank, tag=0)
        return
    group = comm.create_group(range(comm.size - 1), tag=0)
    handle = group.isend("inside", (group.rank + 1) % group.size, tag=0)

    assert group.recv() == "inside"
    assert comm.recv() == "outside"
    handle.wait()
    group.free()


def check_group_keeps_the_order_given(comm: Communicator) -> None:
    """Ranks are numbered in a group as they were listed."""
    backwards = list(range(comm.size))[::-1]
    group = comm.create_group(backwards, tag=0)

    assert group.allgather(comm.rank) == backwards
    group.free()


def check_many_groups(comm: Communicator) -> None:
    """Blocks at random, one after the other, each rank taking part in its own alone: no barrier, no leak, no mix-up."""
    blocks = random.Random(comm.size)
    for number in range(60):
        start, stop = sorted(blocks.sample(range(comm.size + 1), 2))
        if start <= comm.rank < stop:
            group = comm.create_group(range(start, stop), tag=number)

            assert group.bcast(number) == number
            assert group.allgather(comm.rank) == list(range(start, stop))
            group.free()


def check_groups_that_cannot_be(comm: Communicator) -> None:
    """A group without its maker, with strangers or with a rank twice is refused before anything is sent."""
    for ranks in ([(comm.rank + 1) % comm.size] if comm.size > 1 else [], [comm.rank, comm.size], [comm.rank] * 2):
        with pytest.raises(ValueError, match="group"):
            comm.create_group(ranks, tag=0)


def check_dup_has_its_own_messages(comm: Communicator) -> None:
    """A message on a duplicate is not seen on the original."""
    before, after = neighbours(comm)
    copy = comm.dup()
    handle = copy.isend("on the copy", after)
    until(copy.iprobe)

    assert comm.iprobe() is None
    assert copy.recv(before) == "on the copy"
    handle.wait()
    copy.free()


def check_freed(comm: Communicator) -> None:
    """A communicator that was given back says so, and the one it came from goes on."""
    copy = comm.dup()
    copy.free()

    with pytest.raises(CommunicationError, match="freed"):
        copy.bcast(1)
    with pytest.raises(CommunicationError, match="freed"):
        copy.iprobe()
    with pytest.raises(CommunicationError, match="freed"):
        copy.free()
    assert comm.bcast(comm.rank) == 0


def check_rank_that_does_not_exist(comm: Communicator) -> None:
    """A message to nobody is an error that names the sender."""
    with pytest.raises(CommunicationError, match=f"rank {comm.rank} of {comm.size}"):
        comm.send("hello", comm.size)


def check_next_message(comm: Communicator) -> None:
    """The wait ends with a message, at the time given, or when it is stopped."""
    before, after = neighbours(comm)
    stop = threading.Event()

    assert next_message(comm, stop, timeout=0.01) is None
    comm.barrier()
    handle = comm.isend({"text": "hello"}, after, tag=5)
    assert next_message(comm, stop, timeout=NEVER) == Message(before, 5, {"text": "hello"}, comm)
    handle.wait()
    with ThreadPoolExecutor() as threads:
        waiting = threads.submit(next_message, comm, stop, NEVER)
        stop.set()
        assert waiting.result() is None


def check_control_thread(comm: Communicator) -> None:
    """A thread a rank exchanges commands on a duplicate while the main threads make groups and reduce on them."""
    control = comm.dup()
    rounds = 30

    def command() -> int:
        for number in range(rounds):
            for rank in range(1, control.size):
                control.isend(number, rank).wait()
            answers = [next_message(control, threading.Event(), NEVER) for _ in range(1, control.size)]
            assert sorted((a.source, a.value) for a in answers) == [(r, number + 1) for r in range(1, control.size)]
        for rank in range(1, control.size):
            control.send(None, rank)
        return rounds

    def obey() -> int:
        for done in range(2 * rounds):
            number = next_message(control, threading.Event(), NEVER).value
            if number is None:
                return done
            control.isend(number + 1, 0).wait()
        raise AssertionError("too many commands")

    with ThreadPoolExecutor() as threads:
        talk = threads.submit(command if comm.rank == 0 else obey)
        for number in range(rounds):
            half = (number % comm.size) + 1
            ranks = range(half) if comm.rank < half else range(half, comm.size)
            group = comm.create_group(ranks, tag=number)
            array = np.full(20_000, comm.rank, np.float32)
            group.Allreduce(array)
            group.free()

            assert (array == sum(ranks)).all()
        assert talk.result() == rounds
    control.free()


def check_on_root(comm: Communicator) -> None:
    """A value of rank 0 reaches all ranks, and an error raises on all ranks."""

    def bad_file() -> None:
        raise InputError([Problem("job.yaml: ranks", "found 'four', write 4", line=3)])

    assert on_root(comm, lambda: 42 if comm.rank == 0 else None) == 42
    with pytest.raises(InputError, match=r"ranks \(line 3\): found 'four', write 4"):
        on_root(comm, bad_file)


CHECKS = [value for name, value in list(globals().items()) if name.startswith("check_")]


if __name__ == "__main__":
    run_all(CHECKS)
