# ruff: noqa: D102, N802 - the methods are documented in base.py; the uppercase ones are named as in mpi4py
"""The communicator of real jobs: MPI by mpi4py. No other module imports mpi4py."""

from __future__ import annotations

import logging
import os
import sys
from typing import TYPE_CHECKING, Any, NoReturn

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
from hpcmtl.communicators.daemon import end_daemon_soon, kill_this_process
from hpcmtl.communicators.mpi_errors import ReadableErrors, described
from hpcmtl.errors import EnvironmentUnfitError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy as np


_OPEN_MPI = {
    # The butterfly for reduce-scatter: Open MPI 5's own choice made a training step of 10 objectives 2 to 2.5 times as
    # long between two hosts at 1 Gb/s (benchmarks/multitask.py). Other collectives keep its choice.
    "OMPI_MCA_coll_tuned_use_dynamic_rules": "1",
    "OMPI_MCA_coll_tuned_reduce_scatter_block_algorithm": "4",
}
"""Settings that Open MPI reads when it starts; those of the user stay."""

_OPEN_MPI_WITH_LOSSES = {
    # The component han, which Open MPI takes between nodes, crashes a second rank when a communicator is revoked that
    # it has not used yet (null pointer in mca_coll_han_revoke_local; open-mpi/ompi#13640).
    "OMPI_MCA_coll": "^han",
}
"""Further settings where ranks outlive others."""

_MAY_LOSE = "OMPI_MCA_mpi_ft_enable"  # set by mpirun --with-ft ulfm


def world() -> MpiCommunicator:
    """Starts MPI, unless it runs already, and returns the communicator of all ranks.

    Raises:
        EnvironmentUnfitError: if MPI cannot be started, or does not let several threads communicate at once.
    """
    may_lose = os.environ.get(_MAY_LOSE) == "1"
    for name, value in (_OPEN_MPI | (_OPEN_MPI_WITH_LOSSES if may_lose else {})).items():
        os.environ.setdefault(name, value)
    try:
        from mpi4py import MPI  # starts MPI: that is why it is here and not at the top
    except (ImportError, RuntimeError) as error:  # RuntimeError: mpi4py is there and finds no MPI library
        raise EnvironmentUnfitError(
            f"mpi4py cannot start MPI: {error}. Install both with launchers/bootstrap.sh; `hpcmtl doctor` says more"
        ) from error
    if MPI.Query_thread() < MPI.THREAD_MULTIPLE:
        library = MPI.Get_library_version().split(",")[0]
        raise EnvironmentUnfitError(
            f"MPI ({library}) came up at thread level {MPI.Query_thread()}, but hpcmtl needs MPI_THREAD_MULTIPLE "
            f"({MPI.THREAD_MULTIPLE}): ranks take commands while they train. Unset MPI4PY_RC_THREAD_LEVEL, start MPI "
            "by hpcmtl alone, or use the MPI that launchers/bootstrap.sh installs"
        )
    return MpiCommunicator(MPI.COMM_WORLD)


class MpiCommunicator(Communicator):
    """A `Communicator` over an mpi4py communicator.

    Attributes:
        native: the mpi4py communicator, for libraries that take one.
    """

    def __init__(self, native: Any) -> None:
        from mpi4py import MPI

        self.native = native
        self._mpi = MPI
        self._rank: int = native.Get_rank()
        self._size: int = native.Get_size()

    @property
    def rank(self) -> int:
        return self._rank

    @property
    def size(self) -> int:
        return self._size

    @property
    def survives_losses(self) -> bool:
        return os.environ.get(_MAY_LOSE) == "1"

    def send(self, value: Any, dest: int, tag: int = 0) -> None:
        with self._readable(f"send(dest={dest}, tag={tag})"):
            self.native.send(value, dest, tag)

    def isend(self, value: Any, dest: int, tag: int = 0) -> MpiSendHandle:
        readable = self._readable(f"isend(dest={dest}, tag={tag})")
        with readable:
            return MpiSendHandle(self.native.isend(value, dest, tag), readable)

    def recv(self, source: int = ANY, tag: int = ANY) -> Any:
        with self._readable(f"recv(source={source}, tag={tag})"):
            return self.native.recv(source=self._source(source), tag=self._tag(tag))

    def iprobe(self, source: int = ANY, tag: int = ANY) -> Envelope | None:
        status = self._mpi.Status()
        wanted = (self._source(source), self._tag(tag), status)
        with self._readable("iprobe()"):
            # Open MPI looks first and fetches from the network afterwards: the second look sees what the first fetched.
            found = self.native.Iprobe(*wanted) or self.native.Iprobe(*wanted)
        return Envelope(status.Get_source(), status.Get_tag()) if found else None

    def bcast(self, value: Any, root: int = 0) -> Any:
        with self._readable(f"bcast(root={root})"):
            return self.native.bcast(value, root)

    def gather(self, value: Any, root: int = 0) -> list[Any] | None:
        with self._readable(f"gather(root={root})"):
            values: list[Any] | None = self.native.gather(value, root)
        return values

    def allgather(self, value: Any) -> list[Any]:
        with self._readable("allgather()"):
            values: list[Any] = self.native.allgather(value)
        return values

    def barrier(self) -> None:
        with self._readable("barrier()"):
            self.native.Barrier()

    def Send(self, array: np.ndarray[Any, Any], dest: int, tag: int = 0) -> None:
        with self._readable(f"Send(dest={dest}, tag={tag})"):
            self.native.Send(checked_buffer(array, "Send"), dest, tag)

    def Recv(self, array: np.ndarray[Any, Any], source: int = ANY, tag: int = ANY) -> None:
        method = f"Recv(source={source}, tag={tag})"
        status = self._mpi.Status()
        with self._readable(method):
            self.native.Recv(checked_buffer(array, "Recv"), self._source(source), self._tag(tag), status)
        self._check_whole(array, status, method)

    def Isend(self, array: np.ndarray[Any, Any], dest: int, tag: int = 0) -> MpiSendHandle:
        readable = self._readable(f"Isend(dest={dest}, tag={tag})")
        with readable:
            return MpiSendHandle(self.native.Isend(checked_buffer(array, "Isend"), dest, tag), readable)

    def Irecv(self, array: np.ndarray[Any, Any], source: int, tag: int) -> MpiReceiveHandle:
        method = f"Irecv(source={source}, tag={tag})"
        with self._readable(method):
            request = self.native.Irecv(checked_buffer(array, "Irecv"), self._source(source), self._tag(tag))
        return MpiReceiveHandle(request, self, array, method)

    def Bcast(self, array: np.ndarray[Any, Any], root: int = 0) -> None:
        with self._readable(f"Bcast(root={root})"):
            self.native.Bcast(checked_buffer(array, "Bcast"), root)

    def Allreduce(self, array: np.ndarray[Any, Any], op: ReduceOp = "sum") -> None:
        native_op = {"sum": self._mpi.SUM, "max": self._mpi.MAX, "min": self._mpi.MIN}[op]
        with self._readable(f"Allreduce({op} of {array.dtype})"):
            self.native.Allreduce(self._mpi.IN_PLACE, checked_buffer(array, "Allreduce"), native_op)

    def Reduce_scatter_block(self, array: np.ndarray[Any, Any], block: np.ndarray[Any, Any]) -> None:
        send = checked_buffer(array, "Reduce_scatter_block")
        with self._readable(f"Reduce_scatter_block({array.dtype})"):
            self.native.Reduce_scatter_block(send, checked_buffer(block, "Reduce_scatter_block"), self._mpi.SUM)

    def Allgather(self, block: np.ndarray[Any, Any], array: np.ndarray[Any, Any]) -> None:
        send = checked_buffer(block, "Allgather")
        with self._readable(f"Allgather({block.dtype})"):
            self.native.Allgather(send, checked_buffer(array, "Allgather"))

    def create_group(self, ranks: Sequence[int], tag: int) -> MpiCommunicator:
        rank_in_group(self, ranks)
        with self._readable(f"create_group({list(ranks)}, tag={tag})"):
            everyone = self.native.Get_group()
            members = everyone.Incl(list(ranks))
            try:
                return MpiCommunicator(self.native.Create_group(members, tag))
            finally:
                members.Free()
                everyone.Free()

    def dup(self) -> MpiCommunicator:
        with self._readable("dup()"):
            return MpiCommunicator(self.native.Dup())

    def free(self) -> None:
        # A revoked communicator keeps its number for ever: pending messages to it would reach the next one with that
        # number, and Open MPI 5.0.11 ends a process that gets a message of a rank beyond its communicator's size.
        with self._readable("free()"):
            if not self.is_revoked():
                self.native.Free()

    def is_revoked(self) -> bool:
        """Returns whether this or another rank has revoked it, since a rank was lost."""
        try:
            return bool(self.native.Is_revoked())
        except NotImplementedError:  # an MPI without ULFM
            return False

    def revoke(self) -> None:
        with self._readable("revoke()"):
            self.native.Revoke()

    def shrink(self) -> tuple[MpiCommunicator, tuple[int, ...]]:
        with self._readable("shrink()"):
            living = self.native.Shrink()
            new, old = living.Get_group(), self.native.Get_group()
            try:
                return MpiCommunicator(living), tuple(new.Translate_ranks(None, old))
            finally:
                new.Free()
                old.Free()

    def finalize(self) -> None:
        """Ends MPI for this process (collective over all ranks)."""
        self._mpi.Finalize()

    def die(self) -> NoReturn:
        kill_this_process()

    def abort(self, code: int) -> NoReturn:
        try:
            logging.shutdown()  # flushes and closes every log file: nothing runs after this
            sys.stdout.flush()
            sys.stderr.flush()
        finally:
            if self.survives_losses:
                # There MPI_Abort ends this rank alone; and if several ranks call it at once, mpirun waits at times for
                # a lock that it holds itself (Open MPI 5.0.11: 7 of 24 runs of 4 ranks).
                end_daemon_soon(code)
                os._exit(code)
            self.native.Abort(code)
        raise AssertionError("MPI_Abort returned")

    def _check_whole(self, array: np.ndarray[Any, Any], status: Any, method: str) -> None:
        """Raises for a short message: MPI accepts it and leaves the rest of the array as it was."""
        received = status.Get_count(self._mpi.BYTE)
        if received != array.nbytes:
            raise CommunicationError(described(self, method, f"{received} bytes came for an array of {array.nbytes}"))

    def _readable(self, method: str) -> ReadableErrors:
        return ReadableErrors(self, self._mpi, method)

    def _source(self, source: int) -> int:
        return self._mpi.ANY_SOURCE if source == ANY else source

    def _tag(self, tag: int) -> int:
        return self._mpi.ANY_TAG if tag == ANY else tag


class MpiSendHandle(SendHandle):
    """A message that is being sent; holds the pickled bytes until MPI has sent them."""

    def __init__(self, request: Any, readable: ReadableErrors) -> None:
        self._request = request
        self._readable = readable

    def test(self) -> bool:
        with self._readable:
            done, _ = self._request.test()
        return bool(done)

    def wait(self) -> None:
        with self._readable:
            self._request.wait()


class MpiReceiveHandle(ReceiveHandle):
    """An array that is being received; holds it until MPI has filled it."""

    def __init__(self, request: Any, comm: MpiCommunicator, array: np.ndarray[Any, Any], method: str) -> None:
        self._request = request
        self._comm, self._array, self._method = comm, array, method
        self._done = False

    def test(self) -> bool:
        return self._done or self._complete(self._request.Test)

    def wait(self) -> None:
        if not self._done:
            self._complete(self._request.Wait)

    def _complete(self, call: Callable[[Any], Any]) -> bool:
        status = self._comm._mpi.Status()  # noqa: SLF001 - the two classes are one adapter
        with self._comm._readable(self._method):  # noqa: SLF001
            self._done = bool(call(status))
        if self._done:
            self._comm._check_whole(self._array, status, self._method)  # noqa: SLF001
        return self._done
