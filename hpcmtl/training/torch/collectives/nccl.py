"""Collective by a process group of torch.distributed: NCCL between GPUs, and Gloo between CPUs.

The process group belongs to one group of ranks, and is made and destroyed with it. It is never that of the whole
process (`init_process_group`), since a rank may be in other groups before and after.
"""

from __future__ import annotations

from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

from hpcmtl.launch.environment import node_id
from hpcmtl.training.torch.collectives.rendezvous import open_store
from hpcmtl.training.torch.compat import import_torch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from hpcmtl.communicators.base import Communicator
    from hpcmtl.frameworks.device import Device
    from hpcmtl.training.collectives.base import ArrayKind

torch = import_torch()

TIME_LIMIT = timedelta(minutes=30)
"""Time that an operation waits for the last rank, which may validate; after it NCCL's watchdog ends the process."""


class ProcessGroupCollective:
    """Means and broadcasts of tensors by a process group of torch.distributed; see `Collective`."""

    takes: ArrayKind = "native"

    def __init__(self, group: Communicator, backend: Literal["nccl", "gloo"] = "nccl") -> None:
        """Makes the process group of a group (collective)."""
        self.name, self.size = backend, group.size
        self._store, address = open_store(group)
        make = _nccl if backend == "nccl" else _gloo
        self._backend = make(self._store, group.rank, group.size, address)

    def mean(self, arrays: Sequence[Any]) -> None:
        """See `Collective`; one sum for each dtype, and for gradients that lie side by side without a copy."""
        options = torch.distributed.AllreduceOptions()
        for whole in _fused(arrays):
            whole.div_(self.size)
            self._backend.allreduce([whole], options).wait()

    def broadcast(self, arrays: Sequence[Any]) -> None:
        """See `Collective`."""
        options = torch.distributed.BroadcastOptions()
        options.rootRank = options.rootTensor = 0
        for whole in _fused(arrays):
            self._backend.broadcast([whole], options).wait()

    def close(self) -> None:
        """See `Collective`."""
        self._backend.shutdown()
        del self._backend, self._store


def _nccl(store: Any, rank: int, size: int, address: str) -> Any:  # noqa: ARG001 - NCCL finds its ways itself
    options = torch.distributed.ProcessGroupNCCL.Options()
    options._timeout = TIME_LIMIT  # noqa: SLF001 - has no other name
    return torch.distributed.ProcessGroupNCCL(store, rank, size, options)


def _gloo(store: Any, rank: int, size: int, address: str) -> Any:
    make = torch.distributed.ProcessGroupGloo
    options = make._Options()  # noqa: SLF001 - has no other name
    options._devices = [make.create_device(hostname=address)]  # noqa: SLF001 - as above
    options._timeout, options._threads = TIME_LIMIT, 1  # noqa: SLF001 - as above
    return make(store, rank, size, options)


def _fused(arrays: Sequence[Any]) -> Iterator[Any]:
    """Yields one tensor for all arrays of each dtype; what the caller does to it is done to the arrays.

    Tensors that lie side by side in one storage are a piece of it. Others are copied, and copied back.
    """
    tensors = [array.detach() for array in arrays if array.numel()]
    for dtype in dict.fromkeys(tensor.dtype for tensor in tensors):
        alike = [tensor for tensor in tensors if tensor.dtype == dtype]
        if _side_by_side(alike):
            yield torch.as_strided(alike[0], (sum(each.numel() for each in alike),), (1,), alike[0].storage_offset())
            continue
        whole = torch.cat([tensor.reshape(-1) for tensor in alike])
        yield whole
        for tensor, piece in zip(alike, whole.split([each.numel() for each in alike]), strict=True):
            tensor.copy_(piece.view(tensor.shape))


def _side_by_side(tensors: Sequence[Any]) -> bool:
    storages = {each.untyped_storage().data_ptr() for each in tensors}
    ends = [each.storage_offset() + each.numel() for each in tensors]
    starts = [each.storage_offset() for each in tensors]
    return len(storages) == 1 and starts[1:] == ends[:-1] and all(each.is_contiguous() for each in tensors)


def nccl_unusable(_group: Communicator) -> str | None:
    """Returns the reason why NCCL cannot be used here at all, or None."""
    distributed = torch.distributed
    if not distributed.is_available() or not distributed.is_nccl_available():
        return f"PyTorch {torch.__version__} was built without NCCL"
    return None if torch.cuda.is_available() else "NCCL reduces arrays of GPUs, and PyTorch finds no GPU"


def nccl_misfit(group: Communicator, device: Device) -> str | None:
    """Returns the reason why NCCL cannot serve a group on these devices, or None (collective)."""
    if device.kind == "cpu":
        return "NCCL reduces arrays of GPUs, and this task computes on CPUs"
    own = torch.cuda.get_device_properties(device.index)
    return shared_gpu(group, str(getattr(own, "uuid", device.index)))


def shared_gpu(group: Communicator, gpu: str) -> str | None:
    """Returns the ranks that compute on one GPU, which NCCL refuses; None if each has its own (collective)."""
    seen: dict[tuple[str, str], int] = {}
    for rank, place in enumerate(group.allgather((node_id(), gpu))):
        if place in seen:
            return f"ranks {seen[place]} and {rank} of the group compute on one GPU, which NCCL refuses"
        seen[place] = rank
    return None


open_nccl: Callable[[Communicator], ProcessGroupCollective] = partial(ProcessGroupCollective, backend="nccl")
