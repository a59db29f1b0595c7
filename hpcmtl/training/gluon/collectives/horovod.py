"""Collective by Horovod's asynchronous, grouped allreduce over the group's MPI communicator."""

from __future__ import annotations

import logging
import os
from typing import TYPE_CHECKING, Any

from hpcmtl.communicators.mpi import MpiCommunicator
from hpcmtl.communicators.revoking import copies_revoke_themselves
from hpcmtl.errors import EnvironmentUnfitError
from hpcmtl.training.gluon.compat import import_horovod
from hpcmtl.training.gluon.layout import restore_default_layout

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hpcmtl.communicators.base import Communicator
    from hpcmtl.training.collectives.base import ArrayKind

_log = logging.getLogger(__name__)

# Horovod over gloo ignores the communicator that it is given: each rank then trains alone, or crashes (signal 11).
_TRANSPORT = ("HOROVOD_CONTROLLER", "HOROVOD_CPU_OPERATIONS")


class HorovodCollective:
    """Horovod, initialised on one group; a process has at most one at a time; see `Collective`."""

    name = "horovod"
    takes: ArrayKind = "native"

    def __init__(self, group: Communicator) -> None:
        """Starts Horovod on an MPI group, over MPI whatever the environment asks for.

        Raises:
            EnvironmentUnfitError: Horovod is missing, was built without MXNet or MPI, or came up on other ranks.
            RuntimeError: Horovod is open on another group.
        """
        self._hvd = import_horovod()
        if self._hvd.is_initialized():
            # Horovod ignores a second init without an error and keeps the FIRST communicator: sums over wrong ranks.
            raise RuntimeError("Horovod is still open on another group; close that collective first")
        _use_mpi()
        assert isinstance(group, MpiCommunicator), "see `horovod_unusable`"
        with copies_revoke_themselves(group):
            self._hvd.init(comm=group.native)
        self.size = group.size
        self._group = group
        self._latest: dict[str, list[Any]] = {}
        place = (self._hvd.rank(), self._hvd.size())
        if place != (group.rank, group.size):
            self._hvd.shutdown()
            found = f"Horovod came up as rank {place[0]} of {place[1]} on rank {group.rank} of a group of {group.size}"
            raise EnvironmentUnfitError(f"{found}: unset the variables HOROVOD_*, or choose `engine: kvstore`")

    def mean(self, arrays: Sequence[Any]) -> None:
        """See `Collective`; one grouped call a dtype, with one negotiation and Horovod's own fusion."""
        for dtype in sorted({str(array.dtype) for array in arrays}):
            tensors = [array for array in arrays if str(array.dtype) == dtype]
            # The shares are divided before the sum. CPU builds of Horovod average by a division after it, so that fp16
            # overflows once ranks x max|g| > 65504.
            name = f"mean.{dtype}.{len(tensors)}"
            self._await_others(name, tensors)
            self._hvd.grouped_allreduce_(tensors, average=False, name=name, prescale_factor=1.0 / self.size)

    def broadcast(self, arrays: Sequence[Any]) -> None:
        """See `Collective`; uses the group's own messages, and not `horovod.broadcast_`.

        EnqueueTensorBroadcast of Horovod 0.28.1 logs the name of the operation after it was queued. If Horovod's thread
        is faster, the name is freed by then. On a busy machine 3 of 4 runs of 15,000 calls crashed. The grouped
        allreduce logs before it queues.
        """
        restore_default_layout(arrays)
        for array in arrays:
            values = array.asnumpy()
            self._group.Bcast(values)
            array[:] = values

    def close(self) -> None:
        """See `Collective`."""
        self._hvd.shutdown()

    def _await_others(self, name: str, tensors: list[Any]) -> None:
        """Waits for the last call under a name if it had other arrays.

        Horovod refuses a name that is under way. MXNet orders calls on the same arrays, but not those on different
        ones, such as running statistics after gradients.
        """
        latest = self._latest.get(name, tensors)
        if [id(array) for array in latest] != [id(array) for array in tensors]:
            for array in latest:
                array.wait_to_read()
        self._latest[name] = tensors


def _use_mpi() -> None:
    """Has Horovod use MPI, with a warning if the environment asks for something else."""
    for name in _TRANSPORT:
        found = os.environ.get(name, "mpi")
        if found.lower() != "mpi":
            _log.warning("%s=%s is ignored: Horovod uses MPI, which the group's communicator belongs to", name, found)
        os.environ[name] = "mpi"


def horovod_unusable(group: Communicator) -> str | None:
    """Returns the reason why Horovod cannot serve a group, or None."""
    if not hasattr(group, "native"):
        return "these ranks are threads of one process, without MPI"
    try:
        import_horovod()
    except EnvironmentUnfitError as error:
        return str(error)
    return None
