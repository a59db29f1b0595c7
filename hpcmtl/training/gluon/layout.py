"""Keeps arrays in MXNet's default memory layout, so that no collective meets one that oneDNN has rearranged.

An inference forward (outside `autograd.record`) lets oneDNN rearrange convolution weights in place. Anything that then
wants the raw memory, as Horovod's operations do in a background thread, dies with ``!IsMKLDNNData(): We can't generate
TBlob for MKLDNN data``, in more than half of the runs of a net that is evaluated and then broadcast.

Measured with mxnet 1.9.1: `set_data`, ``a[:] = copy`` and in-place arithmetic all KEEP the foreign layout; an operation
without a oneDNN kernel that writes a copy over the array (``identity(copy, out=a)``) brings the default layout back
(`docs/decisions/0003-default-layout-before-collectives.md`).
"""

from __future__ import annotations

import ctypes
from typing import TYPE_CHECKING, Any

import numpy as np

from hpcmtl.training.gluon.compat import import_mxnet

if TYPE_CHECKING:
    from collections.abc import Iterable

mx = import_mxnet()


def overwrite(array: Any, values: np.ndarray[Any, Any]) -> None:
    """Write values into an array, whatever its layout.

    By way of a new array: what is rearranged refuses raw memory. A third of what `set_data` of an `mx.nd.array` costs.
    """
    fresh = mx.nd.empty(array.shape, dtype=array.dtype)
    fresh._sync_copyfrom(np.ascontiguousarray(values, array.dtype))  # noqa: SLF001 - no public name
    fresh.copyto(array)


def restore_default_layout(arrays: Iterable[Any]) -> None:
    """Give every array its default layout back, values unchanged.

    Returns when the engine has done it: a collective may follow at once. Arrays are not asked first: DLPack, which
    could tell, leaks a handle where the answer is no.
    """
    # An inference forward rearranges by an operation that it pushes WHILE it runs: who waits for the arrays alone may
    # look before that one is queued, and find nothing wrong.
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
    dtype = np.dtype(array.dtype)
    if memory.value is None:
        return np.empty(array.shape, dtype)
    buffer = (ctypes.c_char * (array.size * dtype.itemsize)).from_address(memory.value)
    return np.frombuffer(buffer, dtype).reshape(array.shape)
