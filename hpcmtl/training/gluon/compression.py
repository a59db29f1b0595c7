"""fp16 compression of MXNet arrays, by operations of MXNet's engine that are not waited for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hpcmtl.training.gluon.compat import import_mxnet
from hpcmtl.training.strategies.compressors import NativeHalves

if TYPE_CHECKING:
    from collections.abc import Sequence

mx = import_mxnet()


class Fp16Halves(NativeHalves):
    """See `NativeHalves`."""

    def made(self, gradients: Sequence[Any]) -> Sequence[Any]:
        """See `NativeHalves`."""
        return [mx.nd.empty(gradient.shape, gradient.context, "float16") for gradient in gradients]

    def convert(self, source: Any, target: Any) -> None:
        """See `NativeHalves`."""
        mx.nd.cast(source, dtype=target.dtype, out=target)
