# ruff: noqa: N802 - the uppercase methods are named as in mpi4py: they carry a buffer, not a pickle
"""The seam between hpcmtl and the library that carries its messages.

Lowercase methods carry any value that pickles. Uppercase methods carry a contiguous numpy array without a copy of our
own, always into an array of the receiver. A message sent with one case is received with the same case.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, NoReturn, Protocol

import numpy as np

from hpcmtl.errors import HpcmtlError

if TYPE_CHECKING:
    from collections.abc import Sequence


ANY = -1
"""Any source, or any tag, where a message is received."""

ReduceOp = Literal["sum", "max", "min"]


class CommunicationError(HpcmtlError):
    """A message could not be carried; the text names the rank, the method and the cause."""


class RankLostError(CommunicationError):
    """A rank has died, or the communicator was revoked because one has."""


@dataclass(frozen=True)
class Envelope:
    """The source rank and the tag of a message that has not been received yet."""

    source: int
    tag: int


class SendHandle(Protocol):
    """A message that is being sent."""

    def test(self) -> bool:
        """Returns whether the message has left, without waiting."""
        ...

    def wait(self) -> None:
        """Waits until the message has left."""
        ...


class ReceiveHandle(Protocol):
    """An array that is being received."""

    def test(self) -> bool:
        """Returns whether the array has arrived, without waiting."""
        ...

    def wait(self) -> None:
        """Waits until the array has arrived.

        Raises:
            CommunicationError: the message had another size.
        """
        ...


class Communicator(Protocol):
    """A fixed list of ranks that exchange messages which no other communicator sees.

    Messages from one rank to another with one tag arrive in the order sent. Collective methods (`bcast`, `gather`,
    `allgather`, `barrier`, `Bcast`, `Allreduce`, `Reduce_scatter_block`, `Allgather`, `dup`, `free`) are called by all
    ranks in the same order, from one thread of each. Other threads of the process may use OTHER communicators at the
    same time: a control thread works on a `dup` of the world while the main thread trains. Threads may also share one
    communicator for messages from rank to rank, if each receives by tags of its own. Tags lie in 0..32767. Failures
    raise `CommunicationError`.

    Under a launcher that lets ranks outlive others (Open MPI's `mpirun --with-ft ulfm`), a method that waits for a rank
    that has died raises `RankLostError`, as does `iprobe` from any rank. A rank waiting on a living rank that is itself
    blocked may hang. So a rank that notices a death calls `revoke`, which ends all waits on all ranks, and all living
    ranks call `shrink`. Under other launchers the death of a rank ends the run.
    """

    @property
    def rank(self) -> int:
        """Number of this rank here, 0 <= rank < size."""
        ...

    @property
    def size(self) -> int:
        """Number of ranks."""
        ...

    @property
    def survives_losses(self) -> bool:
        """True if ranks go on after the loss of others: `revoke` and `shrink` work, and `die` ends this rank alone."""
        ...

    def send(self, value: Any, dest: int, tag: int = 0) -> None:
        """Sends a value; it may or may not wait for the receiver."""
        ...

    def isend(self, value: Any, dest: int, tag: int = 0) -> SendHandle:
        """Starts to send a value and returns at once; keep the handle until its `test` is true."""
        ...

    def recv(self, source: int = ANY, tag: int = ANY) -> Any:
        """Waits for a value and returns it."""
        ...

    def iprobe(self, source: int = ANY, tag: int = ANY) -> Envelope | None:
        """Returns the envelope of a message that can be received now, or None."""
        ...

    def bcast(self, value: Any, root: int = 0) -> Any:
        """Returns the value of rank `root` on every rank; the argument of other ranks is ignored."""
        ...

    def gather(self, value: Any, root: int = 0) -> list[Any] | None:
        """Returns the values of all ranks, by rank, on rank `root`, and None elsewhere."""
        ...

    def allgather(self, value: Any) -> list[Any]:
        """Returns the values of all ranks, by rank, on every rank."""
        ...

    def barrier(self) -> None:
        """Waits until every rank has called it."""
        ...

    def Send(self, array: np.ndarray[Any, Any], dest: int, tag: int = 0) -> None:
        """Sends the contents of an array; it may or may not wait for the receiver."""
        ...

    def Recv(self, array: np.ndarray[Any, Any], source: int = ANY, tag: int = ANY) -> None:
        """Waits for an array of the same dtype and size and writes it into `array`."""
        ...

    def Isend(self, array: np.ndarray[Any, Any], dest: int, tag: int = 0) -> SendHandle:
        """Starts to send an array; do not change it, and keep the handle, until its `test` is true."""
        ...

    def Irecv(self, array: np.ndarray[Any, Any], source: int, tag: int) -> ReceiveHandle:
        """Starts to receive an array of the same size; `array` is defined when the handle's `test` is true.

        A message goes to the matching receive that was started first, whichever is waited for first.
        """
        ...

    def Bcast(self, array: np.ndarray[Any, Any], root: int = 0) -> None:
        """Overwrites `array` on every rank with that of rank `root`; dtype and size are the same on all ranks."""
        ...

    def Allreduce(self, array: np.ndarray[Any, Any], op: ReduceOp = "sum") -> None:
        """Overwrites `array` on every rank with the elementwise `op` over all ranks, the same bits on each.

        The arithmetic is that of the dtype (float16 sums overflow at 65504), the order of summation is the library's.
        """
        ...

    def Reduce_scatter_block(self, array: np.ndarray[Any, Any], block: np.ndarray[Any, Any]) -> None:
        """Overwrites `block` with this rank's block of the elementwise sum of `array` over all ranks.

        Args:
            array: as many blocks as there are ranks, in their order; stays as it is.
            block: array of the size and the dtype of one block.
        """
        ...

    def Allgather(self, block: np.ndarray[Any, Any], array: np.ndarray[Any, Any]) -> None:
        """Overwrites `array` on every rank with the blocks of all ranks, in their order.

        Args:
            block: array of the same size and dtype on all ranks.
            array: array for all blocks.
        """
        ...

    def create_group(self, ranks: Sequence[int], tag: int) -> Communicator:
        """Makes a communicator of some ranks; these alone call it (`Comm.Create_group`).

        Args:
            ranks: the members, as ranks of this communicator; their order is their order in the group.
            tag: distinguishes groups with common members that are made at the same time.

        Raises:
            ValueError: if `ranks` has duplicates, ranks that do not exist, or not the calling rank.
        """
        ...

    def dup(self) -> Communicator:
        """Makes a communicator of the same ranks with messages of its own."""
        ...

    def free(self) -> None:
        """Frees the communicator's resources; it cannot be used afterwards."""
        ...

    def revoke(self) -> None:
        """Revokes the communicator: from now on all its methods but `shrink` raise `RankLostError` on all ranks.

        Methods that wait raise it too. Any thread may call this while others use the communicator, and repeatedly.
        """
        ...

    def shrink(self) -> tuple[Communicator, tuple[int, ...]]:
        """Makes a communicator of the living ranks, in their order (collective over these).

        The dead ranks need not be known, and ranks may die meanwhile. All living ranks get the same result.

        Returns:
            The communicator, and the ranks that its members have in this one.
        """
        ...

    def die(self) -> NoReturn:
        """Ends this rank at once, as a lost rank; never returns."""
        ...

    def abort(self, code: int) -> NoReturn:
        """Ends all ranks of the world at once, with exit code `code`; never returns."""
        ...


def checked_buffer(array: np.ndarray[Any, Any], verb: str) -> np.ndarray[Any, Any]:
    """Returns `array` if an uppercase method can carry it, by the same rule in every adapter.

    Truth values travel as bytes, in the same memory; nothing adds them up.

    Raises:
        ValueError: if it is not contiguous, or holds anything but integers, floats and truth values.
    """
    if not array.flags.c_contiguous:
        raise ValueError(f"{verb} needs a contiguous array; make one with numpy.ascontiguousarray")
    if array.dtype.kind == "b" and verb != "Allreduce":
        return array.view(np.uint8)
    if array.dtype.kind not in "iuf":
        raise ValueError(f"{verb} carries integers and floats, found {array.dtype}; use uint8 for flags")
    return array


def rank_in_group(comm: Communicator, ranks: Sequence[int]) -> int:
    """Returns the rank that the caller will have in a group of `ranks`.

    Raises:
        ValueError: if `ranks` has duplicates, ranks that do not exist, or not the calling rank.
    """
    members = list(ranks)
    if len(set(members)) != len(members) or not all(0 <= member < comm.size for member in members):
        raise ValueError(f"a group needs distinct ranks in 0..{comm.size - 1}, found {members}")
    if comm.rank not in members:
        raise ValueError(f"rank {comm.rank} is not in the group {members}; only members may create it")
    return members.index(comm.rank)
