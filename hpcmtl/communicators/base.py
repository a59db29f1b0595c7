# ruff: noqa: N802 - the uppercase verbs are mpi4py's: they say at the call that a buffer travels, not a pickle
"""The seam between hpcmtl and whatever carries its messages.

Lowercase verbs carry any value that pickles; uppercase verbs carry a contiguous numpy array without a copy of our
own, always into an array that the receiver brings. A message sent with one case is received with the same case.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, NoReturn, Protocol

from hpcmtl.errors import HpcmtlError

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np

ANY = -1
"""Any source, or any tag, where a message is received."""

ReduceOp = Literal["sum", "max", "min"]


class CommunicationError(HpcmtlError):
    """A message could not be carried; the text names the rank, the verb and the cause."""


class RankLostError(CommunicationError):
    """A rank has died, or the communicator was given up (`revoke`) since one has."""


@dataclass(frozen=True)
class Envelope:
    """What is known of a message before it is received: the rank it comes from, and its tag."""

    source: int
    tag: int


class SendHandle(Protocol):
    """A message under way."""

    def test(self) -> bool:
        """Say whether the message has left, without waiting."""
        ...

    def wait(self) -> None:
        """Return when the message has left."""
        ...


class ReceiveHandle(Protocol):
    """An array on its way here."""

    def test(self) -> bool:
        """Say whether the array is there, without waiting."""
        ...

    def wait(self) -> None:
        """Return when the array is there.

        Raises:
            CommunicationError: what came had another size.
        """
        ...


class Communicator(Protocol):
    """A fixed list of ranks that exchange messages no other communicator sees.

    Messages from one rank to another with one tag arrive in the order sent. Collective verbs (`bcast`, `gather`,
    `allgather`, `barrier`, `Bcast`, `Allreduce`, `dup`, `free`) are called by all ranks in the same order, from one
    thread of each. Other threads of the process may use OTHER communicators at the same time: a control thread works
    on a `dup` of the world while the main thread trains. Threads may also share one communicator for messages from rank
    to rank, if they receive by tags that no other of them takes. Tags lie in 0..32767. Failures raise
    `CommunicationError`.

    Where the launcher lets ranks outlive others (Open MPI's `mpirun --with-ft ulfm`), verbs that wait for a rank that
    has died raise `RankLostError`, as does `iprobe` from any rank; who waits for one that waits for it may wait for
    ever. So whoever notices calls `revoke`, which ends all waits on all ranks, and all that live call `shrink`.
    Elsewhere the death of a rank is the end of all.
    """

    @property
    def rank(self) -> int:
        """Number of this rank here, 0 <= rank < size."""
        ...

    @property
    def size(self) -> int:
        """Number of ranks."""
        ...

    def send(self, value: Any, dest: int, tag: int = 0) -> None:
        """Send a value; may wait for its receiver, or not: count on neither."""
        ...

    def isend(self, value: Any, dest: int, tag: int = 0) -> SendHandle:
        """Start to send a value and return at once; keep the handle until its `test` is true."""
        ...

    def recv(self, source: int = ANY, tag: int = ANY) -> Any:
        """Wait for a value and return it."""
        ...

    def iprobe(self, source: int = ANY, tag: int = ANY) -> Envelope | None:
        """Return the envelope of a message that can be received now, or None."""
        ...

    def bcast(self, value: Any, root: int = 0) -> Any:
        """Return the value of rank `root` on every rank; the others' argument is ignored."""
        ...

    def gather(self, value: Any, root: int = 0) -> list[Any] | None:
        """Return the values of all ranks, by rank, on rank `root` and None elsewhere."""
        ...

    def allgather(self, value: Any) -> list[Any]:
        """Return the values of all ranks, by rank, on every rank."""
        ...

    def barrier(self) -> None:
        """Return when every rank has called it."""
        ...

    def Send(self, array: np.ndarray[Any, Any], dest: int, tag: int = 0) -> None:
        """Send the contents of an array; may wait for its receiver, or not."""
        ...

    def Recv(self, array: np.ndarray[Any, Any], source: int = ANY, tag: int = ANY) -> None:
        """Wait for an array of the same dtype and size and write it into `array`."""
        ...

    def Isend(self, array: np.ndarray[Any, Any], dest: int, tag: int = 0) -> SendHandle:
        """Start to send the contents of an array; leave it as it is, and keep the handle, until its `test` is true."""
        ...

    def Irecv(self, array: np.ndarray[Any, Any], source: int, tag: int) -> ReceiveHandle:
        """Start to receive an array of the same size; `array` is defined when the handle's `test` is true.

        Of several that fit a message the one that was started first gets it, whichever is waited for first.
        """
        ...

    def Bcast(self, array: np.ndarray[Any, Any], root: int = 0) -> None:
        """Overwrite `array` on every rank with that of rank `root`; same dtype and size everywhere."""
        ...

    def Allreduce(self, array: np.ndarray[Any, Any], op: ReduceOp = "sum") -> None:
        """Overwrite `array` on every rank with the elementwise `op` over all ranks, the same bits on each.

        The arithmetic is that of the dtype (float16 sums overflow at 65504), the order of summation is the library's.
        """
        ...

    def create_group(self, ranks: Sequence[int], tag: int) -> Communicator:
        """Make a communicator of some ranks; called by these alone, the others need not know (`Comm.Create_group`).

        Args:
            ranks: the members, as ranks of this communicator; their order is their order in the group.
            tag: tells apart groups that are being made at the same time with common members.

        Raises:
            ValueError: if `ranks` has duplicates, ranks that do not exist, or not the calling rank.
        """
        ...

    def dup(self) -> Communicator:
        """Make a communicator of the same ranks with messages of its own."""
        ...

    def free(self) -> None:
        """Give the communicator's resources back; it cannot be used afterwards."""
        ...

    def revoke(self) -> None:
        """Give the communicator up: all verbs of all ranks on it raise `RankLostError` from now on, but for `shrink`.

        Those that wait in one included. Any thread may call this, while others use the communicator, and again.
        """
        ...

    def shrink(self) -> tuple[Communicator, tuple[int, ...]]:
        """Make a communicator of the ranks that live, in their order; return it and their numbers here (collective).

        The dead need not be known, and ranks may die meanwhile. All that live get the same, and all have to call it.
        """
        ...

    def die(self) -> NoReturn:
        """End this rank at once as one that is lost to the others; never returns."""
        ...

    def abort(self, code: int) -> NoReturn:
        """End all ranks of the world at once, with exit code `code`; never returns."""
        ...


def checked_buffer(array: np.ndarray[Any, Any], verb: str) -> np.ndarray[Any, Any]:
    """Return `array` if an uppercase verb can carry it, in every adapter alike.

    Raises:
        ValueError: if it is not contiguous, or holds anything but integers and floats.
    """
    if not array.flags.c_contiguous:
        raise ValueError(f"{verb} needs a contiguous array; make one with numpy.ascontiguousarray")
    if array.dtype.kind not in "iuf":
        raise ValueError(f"{verb} carries integers and floats, found {array.dtype}; use uint8 for flags")
    return array


def rank_in_group(comm: Communicator, ranks: Sequence[int]) -> int:
    """Return the rank that the caller will have in a group of `ranks`.

    Raises:
        ValueError: if `ranks` has duplicates, ranks that do not exist, or not the calling rank.
    """
    members = list(ranks)
    if len(set(members)) != len(members) or not all(0 <= member < comm.size for member in members):
        raise ValueError(f"a group needs distinct ranks in 0..{comm.size - 1}, found {members}")
    if comm.rank not in members:
        raise ValueError(f"rank {comm.rank} is not in the group {members}; only members may create it")
    return members.index(comm.rank)
