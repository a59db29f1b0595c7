"""The devices of PyTorch: where the tensors of a rank lie."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hpcmtl.errors import reason_of
from hpcmtl.training.torch.compat import import_torch

if TYPE_CHECKING:
    from hpcmtl.frameworks.device import Device

torch = import_torch()

CPU = torch.device("cpu")


def place_of(device: Device) -> Any:
    """Returns the `torch.device` of a device of this rank, and makes a GPU the current one of this thread."""
    if device.kind == "cpu":
        return CPU
    torch.cuda.set_device(device.index)  # what users' modules make on "cuda" lies there too, and NCCL uses it
    return torch.device("cuda", device.index)


def gpu_problem(number: int) -> str | None:
    """See `Framework`."""
    if not torch.backends.cuda.is_built():
        return (
            f"PyTorch {torch.__version__} was built without CUDA (HPCMTL_TORCH names another build, see bootstrap.sh)"
        )
    if not torch.cuda.is_available():
        return f"PyTorch {torch.__version__} finds no GPU: its CUDA {torch.version.cuda} may not fit the driver"
    if number >= torch.cuda.device_count():
        return f"PyTorch sees {torch.cuda.device_count()} GPUs, and GPU {number} is not among them"
    try:
        found = float((torch.ones(2, 2, device=torch.device("cuda", number)) * 2).sum())
    except Exception as error:  # noqa: BLE001 - a driver may fail in any way, and the rank can go on without its GPU
        return f"a first computation fails: {reason_of(error)}"
    return None if found == 8 else f"a first computation gives {found}, not 8"
