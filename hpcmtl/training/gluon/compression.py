"""fp16 on the wire: gradients travel as halves, with a loss scale that keeps small ones from vanishing.

The scale follows Micikevicius et al., "Mixed Precision Training" (ICLR 2018, section 3.2), dynamic as in its
successors: halved when a reduced gradient overflows (that step is skipped on ALL ranks), doubled after
`GROWTH_INTERVAL` good steps.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from hpcmtl.training.gluon.compat import import_mxnet

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hpcmtl.communicators.base import Communicator
    from hpcmtl.training.gluon.engines.base import Engine

mx = import_mxnet()

GROWTH_INTERVAL = 1000
_SMALLEST, _LARGEST = 2.0**-14, 2.0**24
_TRIALS = 5


@dataclass(frozen=True)
class LossScale:
    """Factor on the loss before the backward pass, and the good steps since it last changed."""

    value: float = 1024.0
    good_steps: int = 0

    def after(self, finite: bool) -> LossScale:
        """The scale for the next step."""
        if not finite:
            return LossScale(max(self.value / 2, _SMALLEST), 0)
        if self.good_steps + 1 >= GROWTH_INTERVAL:
            return LossScale(min(self.value * 2, _LARGEST), 0)
        return replace(self, good_steps=self.good_steps + 1)


class Fp16Wire:
    """Buffers for one list of gradients, and the reduced mean by way of fp16."""

    def __init__(self, gradients: Sequence[Any]) -> None:
        self._halves = [mx.nd.empty(gradient.shape, dtype="float16") for gradient in gradients]

    def mean(self, engine: Engine, gradients: Sequence[Any]) -> None:
        """Overwrite fp32 gradients with their mean over the group; not finite where fp16 overflowed."""
        for gradient, half in zip(gradients, self._halves, strict=True):
            mx.nd.cast(gradient, dtype="float16", out=half)
        engine.mean(self._halves)
        for gradient, half in zip(gradients, self._halves, strict=True):
            mx.nd.cast(half, dtype="float32", out=gradient)


def all_finite(gradients: Sequence[Any], group: Communicator) -> bool:
    """Say whether the gradients of every rank are finite, the same on all ranks.

    Reduced gradients are nearly always the same everywhere, but a sum in another order may overflow on one rank alone,
    and ranks that disagree on skipping a step never meet again.
    """
    local = mx.nd.multi_all_finite(*gradients, num_arrays=len(gradients)).asnumpy()
    agreed = np.array([int(local[0])], dtype=np.int64)
    group.Allreduce(agreed, "min")
    return bool(agreed[0])


def fp16_pays(engine: Engine, shapes: Sequence[tuple[int, ...]], group: Communicator) -> bool:
    """Measure both ways on arrays of these shapes and say whether fp16 was faster; the first rank decides for all."""
    trial = [mx.nd.zeros(shape) for shape in shapes]
    wire = Fp16Wire(trial)
    seconds: dict[str, list[float]] = {"fp32": [], "fp16": []}
    for _ in range(_TRIALS):
        for name, samples in seconds.items():
            mx.nd.waitall()
            start = time.perf_counter()
            if name == "fp16":
                wire.mean(engine, trial)
            else:
                engine.mean(trial)
            mx.nd.waitall()
            samples.append(time.perf_counter() - start)
    return bool(group.bcast(float(np.median(seconds["fp16"])) < float(np.median(seconds["fp32"]))))
