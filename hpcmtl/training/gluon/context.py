"""The devices of MXNet: where the arrays of a rank lie."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hpcmtl.errors import reason_of
from hpcmtl.training.gluon.compat import import_mxnet

if TYPE_CHECKING:
    from hpcmtl.frameworks.device import Device

mx = import_mxnet()


def context_of(device: Device) -> Any:
    """Returns the MXNet context of a device of this rank."""
    return mx.cpu() if device.kind == "cpu" else mx.gpu(device.index)


def gpu_problem(number: int) -> str | None:
    """See `Framework`."""
    if not mx.runtime.Features().is_enabled("CUDA"):
        return (
            f"mxnet {mx.__version__} was built without CUDA (HPCMTL_CUDA=112 launchers/bootstrap.sh takes mxnet-cu112)"
        )
    try:
        found = float((mx.nd.ones((2, 2), ctx=mx.gpu(number)) * 2).sum().asscalar())
    except Exception as error:  # noqa: BLE001 - a driver may fail in any way, and the rank can go on without its GPU
        return f"a first computation on GPU {number} fails: {reason_of(error)}"
    return None if found == 8 else f"a first computation on GPU {number} gives {found}, not 8"
