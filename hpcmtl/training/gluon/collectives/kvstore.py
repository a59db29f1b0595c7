"""Gradients by an MXNet KVStore of our own over the group's communicator: for when Horovod is not there.

The built-in stores do not serve: `dist_sync` needs server processes of its own, and `device` with one context creates
no store at all, so that N ranks train N models in silence.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from hpcmtl.training.gluon.compat import import_mxnet
from hpcmtl.training.gluon.layout import restore_default_layout

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hpcmtl.communicators.base import Communicator
    from hpcmtl.training.collectives.base import ArrayKind

mx = import_mxnet()
KVStoreBase: Any = mx.kv.KVStoreBase


@KVStoreBase.register
class GroupKVStore(KVStoreBase):
    """A `KVStoreBase` whose `pushpull` leaves the MEAN over a group (MXNet's own stores leave the sum)."""

    def __init__(self, group: Communicator) -> None:
        self._group = group

    def broadcast(self, key: Any, value: Any, out: Any, priority: int = 0) -> None:  # noqa: ARG002 - MXNet's form
        """Write the first rank's `value` into `out` on every rank."""
        for source, targets in zip(_listed(key, value), _listed(key, out), strict=True):
            data = np.ascontiguousarray(source[0].asnumpy())
            self._group.Bcast(data)
            _write(data, targets)

    def pushpull(self, key: Any, value: Any, out: Any = None, priority: int = 0) -> None:  # noqa: ARG002 - MXNet's form
        """Write the mean of `value` over the group into `out` (or back into `value`), one message for all keys."""
        values = _listed(key, value)
        targets = values if out is None else _listed(key, out)
        local = [arrays[0].asnumpy() for arrays in values]
        fused = np.concatenate([array.ravel() for array in local])
        fused /= self._group.size
        self._group.Allreduce(fused, "sum")
        start = 0
        for array, target in zip(local, targets, strict=True):
            _write(fused[start : start + array.size].reshape(array.shape), target)
            start += array.size

    @staticmethod
    def is_capable(capability: str) -> bool:
        """It has no optimizer of its own."""
        return bool(capability != KVStoreBase.OPTIMIZER)

    @property
    def type(self) -> str:
        """Name of the store."""
        return "hpcmtl_group"

    @property
    def rank(self) -> int:
        """Rank in the group."""
        return self._group.rank

    @property
    def num_workers(self) -> int:
        """Ranks in the group."""
        return self._group.size


class KVStoreCollective:
    """`GroupKVStore` as a `Collective`."""

    name = "kvstore"
    takes: ArrayKind = "native"

    def __init__(self, group: Communicator) -> None:
        self._store = GroupKVStore(group)
        self.size = group.size

    def mean(self, arrays: Sequence[Any]) -> None:
        """See `Collective`."""
        for dtype in sorted({str(array.dtype) for array in arrays}):
            tensors = [[array] for array in arrays if str(array.dtype) == dtype]
            self._store.pushpull(list(range(len(tensors))), tensors)

    def broadcast(self, arrays: Sequence[Any]) -> None:
        """See `Collective`."""
        restore_default_layout(arrays)
        for index, array in enumerate(arrays):
            self._store.broadcast(index, array, array)

    def close(self) -> None:
        """The group belongs to the caller."""


def _listed(key: Any, value: Any) -> list[list[Any]]:
    """MXNet passes one key and an array or a list of copies of it, or many keys and a list of those."""
    entries = value if isinstance(key, list | tuple) else [value]
    return [list(entry) if isinstance(entry, list | tuple) else [entry] for entry in entries]


def _write(data: np.ndarray[Any, Any], targets: list[Any]) -> None:
    for target in targets:
        target[:] = mx.nd.array(data, dtype=data.dtype)
