"""Collective by Horovod's asynchronous, grouped allreduce over the group's MPI communicator."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hpcmtl.errors import EnvironmentUnfitError
from hpcmtl.training.gluon.compat import import_horovod
from hpcmtl.training.gluon.layout import restore_default_layout

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hpcmtl.communicators.base import Communicator
    from hpcmtl.training.collectives.base import ArrayKind


class HorovodCollective:
    """Horovod, initialised on one group; a process has at most one at a time; see `Collective`."""

    name = "horovod"
    takes: ArrayKind = "native"

    def __init__(self, group: Communicator) -> None:
        """Start Horovod on an MPI group.

        Raises:
            EnvironmentUnfitError: if Horovod is missing or was built without MXNet or MPI.
        """
        self._hvd = import_horovod()
        if self._hvd.is_initialized():
            # A second init is silently ignored and keeps the FIRST communicator: sums over the wrong ranks.
            raise RuntimeError("Horovod is still open on another group; close that collective first")
        self._hvd.init(comm=group.native)  # type: ignore[attr-defined]
        self.size = group.size
        self._group = group
        self._latest: dict[str, list[Any]] = {}
        assert self._hvd.size() == group.size, "Horovod came up on other ranks than the group's"

    def mean(self, arrays: Sequence[Any]) -> None:
        """See `Collective`. One grouped call a dtype: one negotiation, and Horovod's own fusion."""
        for dtype in sorted({str(array.dtype) for array in arrays}):
            tensors = [array for array in arrays if str(array.dtype) == dtype]
            # Sum of shares already divided, and not Horovod's average: CPU builds average afterwards, so that the SUM
            # travels and fp16 overflows once ranks x max|g| > 65504.
            name = f"mean.{dtype}"
            self._await_others(name, tensors)
            self._hvd.grouped_allreduce_(tensors, average=False, name=name, prescale_factor=1.0 / self.size)

    def broadcast(self, arrays: Sequence[Any]) -> None:
        """See `Collective`. By the group's own messages, and not by `horovod.broadcast_`.

        That one's EnqueueTensorBroadcast (0.28.1) logs the operation's name after it has queued it; when Horovod's
        thread is quicker the name has been freed by then. On a busy machine it crashed 3 of 4 runs of 15,000 calls;
        the grouped allreduce logs before it queues.
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
        """Wait for the last call of a name if it was on other arrays.

        Horovod refuses a name that is under way. MXNet lets calls on the same arrays follow each other; others, as
        running statistics after gradients, would meet.
        """
        latest = self._latest.get(name, tensors)
        if [id(array) for array in latest] != [id(array) for array in tensors]:
            for array in latest:
                array.wait_to_read()
        self._latest[name] = tensors


def horovod_unusable(group: Communicator) -> str | None:
    """Returns the reason why Horovod cannot serve a group, or None."""
    if not hasattr(group, "native"):
        return "these ranks are threads of one process, without MPI"
    try:
        import_horovod()
    except EnvironmentUnfitError as error:
        return str(error)
    return None
