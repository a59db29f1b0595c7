"""fp16 compression of tensors, on the device on which they lie."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hpcmtl.training.strategies.compressors import NativeHalves
from hpcmtl.training.torch.compat import import_torch

if TYPE_CHECKING:
    from collections.abc import Sequence

torch = import_torch()


class TensorHalves(NativeHalves):
    """See `NativeHalves`; the halves lie side by side in one buffer."""

    def made(self, gradients: Sequence[Any]) -> Sequence[Any]:
        """See `NativeHalves`."""
        sizes = [gradient.numel() for gradient in gradients]
        pieces = torch.empty(sum(sizes), dtype=torch.float16, device=gradients[0].device).split(sizes)
        return [piece.view(each.shape) for piece, each in zip(pieces, gradients, strict=True)]

    def convert(self, source: Any, target: Any) -> None:
        """See `NativeHalves`."""
        target.copy_(source)
