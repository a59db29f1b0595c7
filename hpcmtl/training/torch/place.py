"""The devices of PyTorch: where the tensors of a rank lie."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from hpcmtl.errors import InputError, reason_of
from hpcmtl.training.torch.compat import import_torch

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hpcmtl.frameworks.device import Device

torch = import_torch()

CPU = torch.device("cpu")
_OTHER_PLACE = (
    "Torch not compiled with CUDA enabled",
    "Found no NVIDIA driver",
    "No CUDA GPUs are available",
    "Expected all tensors to be on the same device",
)
"""Beginnings of PyTorch's messages where a network moves tensors to a device that the others are not on."""
_REMEDY = (
    "leave `.cuda()` and `.to(device)` out: hpcmtl moves network and samples to the device; make tensors on `x.device`"
)


def place_of(device: Device) -> Any:
    """Returns the `torch.device` of a device of this rank, and makes a GPU the current one of this thread."""
    if device.kind == "cpu":
        return CPU
    torch.cuda.set_device(device.index)  # what users' modules make on "cuda" lies there too, and NCCL uses it
    return torch.device("cuda", device.index)


@contextmanager
def naming_moves() -> Iterator[None]:
    """Adds a remedy to problems of a network or loss that moves its tensors to a device itself."""
    try:
        yield
    except InputError as error:
        moved = [any(text in each.message for text in _OTHER_PLACE) for each in error.problems]
        if not any(moved):
            raise
        told = zip(error.problems, moved, strict=True)
        raise InputError(
            [replace(each, message=f"{each.message}; {_REMEDY}") if own else each for each, own in told]
        ) from error


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
