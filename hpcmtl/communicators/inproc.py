# ruff: noqa: D102, N802 - the methods are documented in base.py; the uppercase ones are named as in mpi4py
"""The communicator of tests and of machines without MPI: every rank is a thread of this process.

Values are pickled and arrays are copied on the way, so that ranks share nothing that they would not share under MPI.
Every wait is on a condition, and ends with an error when any rank fails.
"""

from __future__ import annotations

import pickle
import threading
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

import numpy as np

from hpcmtl.communicators.base import (
    ANY,
    CommunicationError,
    Communicator,
    Envelope,
    ReceiveHandle,
    ReduceOp,
    SendHandle,
    checked_buffer,
    rank_in_group,
)
from hpcmtl.communicators.message_router import Address, DeadRankError, MessageRouter, QueuedMessage
from hpcmtl.errors import HpcmtlError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from hpcmtl.communicators.message_router import Expected

T = TypeVar("T")

_REDUCE: dict[ReduceOp, np.ufunc] = {"sum": np.add, "max": np.maximum, "min": np.minimum}


class RankFailedError(HpcmtlError):
    """One rank raised; its exception is the cause of this one."""


def run_ranks(count: int, function: Callable[..., T], *args: Any) -> list[T]:
    """Runs `function(communicator, *args)` on `count` ranks, each a thread; returns the results of those that lived.

    Raises:
        RankFailedError: for the first rank that raised; the waits of the others end at once.
    """
    board = MessageRouter()
    context = board.new_context()
    board.enter(context, tuple(range(count)))
    results: dict[int, T] = {}

    def run(rank: int) -> None:
        try:
            results[rank] = function(InprocCommunicator(board, context, rank, count), *args)
        except DeadRankError:
            board.die(rank)
        except BaseException as error:  # noqa: BLE001 - any error must end the other ranks, and is raised below
            board.fail(rank, error)

    # Daemons: an interrupted test run must not wait for ranks that wait for each other.
    threads = [threading.Thread(target=run, args=(rank,), name=f"rank {rank}", daemon=True) for rank in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if board.failure is not None:
        rank, error = board.failure
        raise RankFailedError(f"rank {rank} of {count} raised {type(error).__name__}: {error}") from error
    return [results[rank] for rank in sorted(results)]


class InprocSendHandle(SendHandle):
    """A message that has been posted; there is nothing to wait for."""

    def test(self) -> bool:
        return True

    def wait(self) -> None:
        return


class InprocReceiveHandle(ReceiveHandle):
    """An expected array; it is copied by `test` or `wait`."""

    def __init__(self, comm: InprocCommunicator, expected: Expected, array: np.ndarray[Any, Any], method: str) -> None:
        self._comm, self._expected, self._array, self._verb = comm, expected, array, method
        self._done = False

    def test(self) -> bool:
        if not self._done and self._comm._board.arrived(self._expected):  # noqa: SLF001 - one adapter
            self.wait()
        return self._done

    def wait(self) -> None:
        if not self._done:
            content = self._comm._board.await_expected(self._expected).content  # noqa: SLF001
            self._done = True
            self._comm._copy(content, self._array, self._verb)  # noqa: SLF001


class InprocCommunicator(Communicator):
    """A `Communicator` among threads; made by `run_ranks`."""

    def __init__(self, board: MessageRouter, context: int, rank: int, size: int) -> None:
        self._board = board
        self._context = context
        self._rank = rank
        self._size = size
        self._freed = False

    @property
    def rank(self) -> int:
        return self._rank

    @property
    def size(self) -> int:
        return self._size

    @property
    def survives_losses(self) -> bool:
        return True

    def send(self, value: Any, dest: int, tag: int = 0) -> None:
        self._post("user", dest, tag, pickle.dumps(value))

    def isend(self, value: Any, dest: int, tag: int = 0) -> InprocSendHandle:
        self.send(value, dest, tag)
        return InprocSendHandle()

    def recv(self, source: int = ANY, tag: int = ANY) -> Any:
        return pickle.loads(self._take("user", source, tag))  # noqa: S301 - pickled by another thread of this process

    def iprobe(self, source: int = ANY, tag: int = ANY) -> Envelope | None:
        message = self._board.peek(self._address("user", self._rank), source, tag)
        return None if message is None else Envelope(message.source, message.tag)

    def bcast(self, value: Any, root: int = 0) -> Any:
        if self._rank != root:
            return pickle.loads(self._from("bcast", root))  # noqa: S301 - as in recv
        content = pickle.dumps(value)
        for rank in self._others():
            self._to("bcast", rank, content)
        return value

    def gather(self, value: Any, root: int = 0) -> list[Any] | None:
        content = pickle.dumps(value)
        if self._rank != root:
            self._to("gather", root, content)
            return None
        contents = {root: content, **{rank: self._from("gather", rank) for rank in self._others()}}
        return [pickle.loads(contents[rank]) for rank in range(self._size)]  # noqa: S301 - as in recv

    def allgather(self, value: Any) -> list[Any]:
        values: list[Any] = self.bcast(self.gather(value))
        return values

    def barrier(self) -> None:
        self.allgather(None)

    def Send(self, array: np.ndarray[Any, Any], dest: int, tag: int = 0) -> None:
        self._post("user", dest, tag, checked_buffer(array, "Send").copy())

    def Recv(self, array: np.ndarray[Any, Any], source: int = ANY, tag: int = ANY) -> None:
        array = checked_buffer(array, "Recv")
        self._copy(self._take("user", source, tag), array, f"Recv(source={source}, tag={tag})")

    def Isend(self, array: np.ndarray[Any, Any], dest: int, tag: int = 0) -> InprocSendHandle:
        self._post("user", dest, tag, checked_buffer(array, "Isend").copy())
        return InprocSendHandle()

    def Irecv(self, array: np.ndarray[Any, Any], source: int, tag: int) -> InprocReceiveHandle:
        array = checked_buffer(array, "Irecv")
        expected = self._board.expect(self._address("user", self._rank), source, tag)
        return InprocReceiveHandle(self, expected, array, f"Irecv(source={source}, tag={tag})")

    def Bcast(self, array: np.ndarray[Any, Any], root: int = 0) -> None:
        array = checked_buffer(array, "Bcast")
        if self._rank != root:
            self._copy(self._from("Bcast", root), array, f"Bcast(root={root})")
            return
        for rank in self._others():
            self._to("Bcast", rank, array.copy())

    def Allreduce(self, array: np.ndarray[Any, Any], op: ReduceOp = "sum") -> None:
        checked_buffer(array, "Allreduce")
        if self._rank == 0:
            for rank in self._others():
                _REDUCE[op](array, self._from("Allreduce", rank), out=array)
        else:
            self._to("Allreduce", 0, array.copy())
        self.Bcast(array)

    def Reduce_scatter_block(self, array: np.ndarray[Any, Any], block: np.ndarray[Any, Any]) -> None:
        checked_buffer(block, "Reduce_scatter_block")
        total = array.copy()
        self.Allreduce(total)
        start = self._rank * block.size
        block.reshape(-1)[:] = total.reshape(-1)[start : start + block.size]

    def Allgather(self, block: np.ndarray[Any, Any], array: np.ndarray[Any, Any]) -> None:
        checked_buffer(array, "Allgather")
        array.reshape(-1)[:] = np.concatenate(self.allgather(checked_buffer(block, "Allgather").reshape(-1)))

    def create_group(self, ranks: Sequence[int], tag: int) -> InprocCommunicator:
        rank = rank_in_group(self, ranks)
        if rank == 0:
            context = self._board.new_context()
            self._board.enter(context, self._board.members(self._context, ranks))
            for member in ranks[1:]:
                self._post("group", member, tag, context)
        else:
            context = self._take("group", ranks[0], tag)
        return InprocCommunicator(self._board, context, rank, len(ranks))

    def dup(self) -> InprocCommunicator:
        context = self._board.new_context() if self._rank == 0 else None
        if context is not None:
            self._board.enter(context, self._board.members(self._context, range(self._size)))
        context = self.bcast(context)
        return InprocCommunicator(self._board, context, self._rank, self._size)

    def free(self) -> None:
        self._check_open()
        self._freed = True

    def revoke(self) -> None:
        self._check_open()
        self._board.revoke(self._context)

    def shrink(self) -> tuple[InprocCommunicator, tuple[int, ...]]:
        self._check_open()
        context, living = self._board.shrink(self._context, self._rank)
        return InprocCommunicator(self._board, context, living.index(self._rank), len(living)), living

    def die(self) -> NoReturn:
        (rank,) = self._board.members(self._context, [self._rank])
        self._board.die(rank)
        raise DeadRankError

    def abort(self, code: int) -> NoReturn:
        self._board.check_alive(self._context, self._rank)
        error = CommunicationError(f"abort({code}) was called")
        self._board.fail(self._rank, error)
        raise error

    def _check_open(self) -> None:
        self._board.check_alive(self._context, self._rank)
        if self._freed:
            raise CommunicationError(f"rank {self._rank} of {self._size}: this communicator has been freed")

    def _others(self) -> list[int]:
        self._check_open()
        return [rank for rank in range(self._size) if rank != self._rank]

    def _address(self, plane: str, rank: int) -> Address:
        self._check_open()
        if not 0 <= rank < self._size:
            raise CommunicationError(f"rank {self._rank} of {self._size}: there is no rank {rank}")
        return Address(self._context, plane, rank)

    def _post(self, plane: str, dest: int, tag: int, content: Any) -> None:
        self._board.post(self._address(plane, dest), QueuedMessage(self._rank, tag, content))

    def _take(self, plane: str, source: int, tag: int) -> Any:
        return self._board.take(self._address(plane, self._rank), source, tag).content

    def _to(self, method: str, dest: int, content: Any) -> None:
        self._post("collective", dest, 0, (method, content))

    def _from(self, method: str, source: int) -> Any:
        """Takes the message of `source` from the same collective method; ranks call these in the same order."""
        other, content = self._take("collective", source, ANY)
        if other != method:
            raise CommunicationError(f"rank {self._rank} called {method} while rank {source} called {other}")
        return content

    def _copy(self, content: np.ndarray[Any, Any], array: np.ndarray[Any, Any], method: str) -> None:
        if content.nbytes != array.nbytes:
            cause = f"{content.nbytes} bytes came for an array of {array.nbytes}"
            raise CommunicationError(f"rank {self._rank} of {self._size}: {method} failed: {cause}")
        array.reshape(-1).view(np.uint8)[:] = content.reshape(-1).view(np.uint8)
