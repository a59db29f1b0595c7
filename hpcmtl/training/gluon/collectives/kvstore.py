"""Collective by an own MXNet KVStore over the group's communicator, used where Horovod is missing.

The built-in stores cannot be used. `dist_sync` needs server processes. `device` with one context creates no store at
all, so that N ranks train N models without an error.
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
    """A `KVStoreBase` whose `pushpull` computes the MEAN over a group (the sum in MXNet's own stores)."""

    def __init__(self, group: Communicator) -> None:
        self._group = group

    def broadcast(self, key: Any, value: Any, out: Any, priority: int = 0) -> None:  # noqa: ARG002 - MXNet's form
        """Writes the first rank's `value` to `out` on every rank."""
        for source, targets in zip(_listed(key, value), _listed(key, out), strict=True):
            data = np.ascontiguousarray(source[0].asnumpy())
            self._group.Bcast(data)
            _write(data, targets)

    def pushpull(self, key: Any, value: Any, out: Any = None, priority: int = 0) -> None:  # noqa: ARG002 - MXNet's form
        """Writes the mean of `value` over the group to `out`, or to `value`; one message for all keys."""
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
        """Returns whether a capability is present; all are but `OPTIMIZER`."""
        return bool(capability != KVStoreBase.OPTIMIZER)

    @property
    def type(self) -> str:
        """Name of this kind of store."""
        return "hpcmtl_group"

    @property
    def rank(self) -> int:
        """Rank of this process in the group."""
        return self._group.rank

    @property
    def num_workers(self) -> int:
        """Number of ranks in the group."""
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
        """See `Collective`; the group belongs to the caller."""


def _listed(key: Any, value: Any) -> list[list[Any]]:
    """Returns a list of copies for each key; MXNet passes one key with an array or its copies, or lists of these."""
    entries = value if isinstance(key, list | tuple) else [value]
    return [list(entry) if isinstance(entry, list | tuple) else [entry] for entry in entries]


def _write(data: np.ndarray[Any, Any], targets: list[Any]) -> None:
    for target in targets:
        target[:] = mx.nd.array(data, dtype=data.dtype)
