"""fp16 compression of tensors, on the device on which they lie."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hpcmtl.training.strategies.compressors import NoCompression
from hpcmtl.training.torch.compat import import_torch

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hpcmtl.training.collectives.base import ArrayKind

torch = import_torch()


class TensorHalves(NoCompression):
    """Aggregates gradients as float16, in one buffer that is made at the first step; see `Compressor`."""

    name = "fp16"
    takes: ArrayKind = "native"
    scales_loss = True

    def __init__(self) -> None:
        self._halves: list[Any] = []

    def compress(self, gradients: Sequence[Any]) -> Sequence[Any]:
        """See `Compressor`."""
        if not self._halves:
            sizes = [gradient.numel() for gradient in gradients]
            buffer = torch.empty(sum(sizes), dtype=torch.float16, device=gradients[0].device)
            pieces = buffer.split(sizes)
            self._halves = [piece.view(each.shape) for piece, each in zip(pieces, gradients, strict=True)]
        for gradient, half in zip(gradients, self._halves, strict=True):
            half.copy_(gradient)
        return self._halves

    def decompress(self, arrays: Sequence[Any], gradients: Sequence[Any]) -> None:
        """See `Compressor`; a gradient that overflowed float16 is infinite."""
        for gradient, half in zip(gradients, arrays, strict=True):
            gradient.copy_(half)
