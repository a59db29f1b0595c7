"""Memory layout of MXNet arrays: restores the default layout before collectives, and gives numpy views.

An inference forward (outside `autograd.record`) lets oneDNN rearrange convolution weights in place. A later operation
on the raw memory, such as Horovod's in a background thread, then fails with ``!IsMKLDNNData(): We can't generate TBlob
for MKLDNN data``. That happened in more than half of the runs of a network that is evaluated and then broadcast.

Measured with mxnet 1.9.1: `set_data`, ``a[:] = copy`` and in-place arithmetic KEEP the foreign layout. An operation
without a oneDNN kernel that writes a copy over the array (``identity(copy, out=a)``) restores the default layout
(`docs/decisions/0003-default-layout-before-collectives.md`).
"""

from __future__ import annotations

import ctypes
import math
from typing import TYPE_CHECKING, Any

import numpy as np

from hpcmtl.training.gluon.compat import import_mxnet

if TYPE_CHECKING:
    from collections.abc import Iterable

mx = import_mxnet()


def overwrite(array: Any, values: np.ndarray[Any, Any]) -> None:
    """Writes values into an array of any layout.

    The values go through a new array, since a rearranged one refuses access to its raw memory. That takes a third of
    the time of `set_data` with an `mx.nd.array`.
    """
    fresh = mx.nd.empty(array.shape, dtype=array.dtype)
    fresh._sync_copyfrom(np.ascontiguousarray(values, array.dtype))  # noqa: SLF001 - no public name
    fresh.copyto(array)


def restore_default_layout(arrays: Iterable[Any]) -> None:
    """Restores the default layout of every array; values stay.

    Returns when MXNet's engine has finished, so that a collective may follow at once. The present layout is not queried
    first: DLPack, which has that information, leaks a handle if the layout is foreign.
    """
    # An inference forward rearranges arrays by an operation that it pushes WHILE it runs. A wait for the arrays alone
    # may return before that operation is queued.
    mx.nd.waitall()
    for array in arrays:
        mx.nd.identity(array.copy(), out=array)
    mx.nd.waitall()


def view(array: Any) -> np.ndarray[Any, Any]:
    """Returns a numpy array on the memory of an NDArray, which gets its default layout first where it has another.

    The caller has waited for all operations on the array (`mx.nd.waitall`: waiting for each array by itself took 60 us
    an array). The view is valid as long as the array lives and no operation rearranges it. MXNet does not know of
    writes to the view: they must be done before the next operation on the array is pushed.
    """
    memory = ctypes.c_void_p()
    mx.base.check_call(mx.base._LIB.MXNDArrayGetData(array.handle, ctypes.byref(memory)))  # noqa: SLF001 - no public name
    dtype, shape = np.dtype(array.dtype), array.shape  # each asks MXNet
    if memory.value is None:
        return np.empty(shape, dtype)
    buffer = (ctypes.c_char * (math.prod(shape) * dtype.itemsize)).from_address(memory.value)
    return np.frombuffer(buffer, dtype).reshape(shape)


def filled(array: np.ndarray[Any, Any], dtype: np.dtype[Any]) -> Any:
    """Returns a copy in a type as NDArray, made without MXNet's engine.

    `mx.nd.array` and `_sync_copyfrom` push an empty operation to the engine and wait for it, behind all operations
    under way: for three arrays a step that took a tenth of the step. A new array has no other user, so that its memory
    can be filled directly. `from_numpy` without a copy is as fast, but an engine thread calls Python to release the
    memory, also while the process ends.
    """
    made = mx.nd.empty(array.shape, dtype=dtype)
    view(made)[...] = array
    return made
