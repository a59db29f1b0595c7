"""fp16 compression of MXNet arrays, by operations of MXNet's engine that are not waited for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hpcmtl.training.gluon.compat import import_mxnet
from hpcmtl.training.strategies.compressors import NoCompression

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hpcmtl.training.collectives.base import ArrayKind

mx = import_mxnet()


class Fp16Halves(NoCompression):
    """Aggregates gradients as float16, in buffers that are made at the first step; see `Compressor`."""

    name = "fp16"
    takes: ArrayKind = "native"
    scales_loss = True

    def __init__(self) -> None:
        self._halves: list[Any] = []

    def compress(self, gradients: Sequence[Any]) -> Sequence[Any]:
        """See `Compressor`."""
        if not self._halves:
            self._halves = [mx.nd.empty(gradient.shape, gradient.context, "float16") for gradient in gradients]
        for gradient, half in zip(gradients, self._halves, strict=True):
            mx.nd.cast(gradient, dtype="float16", out=half)
        return self._halves

    def decompress(self, arrays: Sequence[Any], gradients: Sequence[Any]) -> None:
        """See `Compressor`; a gradient that overflowed float16 is infinite."""
        for gradient, half in zip(gradients, arrays, strict=True):
            mx.nd.cast(half, dtype="float32", out=gradient)
