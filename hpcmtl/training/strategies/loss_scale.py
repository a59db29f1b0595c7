"""Dynamic loss scale: it keeps small gradients representable in fp16.

The scale follows Micikevicius et al., "Mixed Precision Training" (ICLR 2018, section 3.2), dynamic as in its
successors: halved when a reduced gradient overflows (that step is skipped on ALL ranks), doubled after
`GROWTH_INTERVAL` good steps.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

GROWTH_INTERVAL = 1000
_SMALLEST, _LARGEST = 2.0**-14, 2.0**24


@dataclass(frozen=True)
class LossScale:
    """Loss scale between two steps.

    Attributes:
        value: factor on the loss before the backward pass; a power of two.
        good_steps: number of steps without overflow since the factor last changed.
    """

    value: float = 1024.0
    good_steps: int = 0

    def after(self, finite: bool) -> LossScale:
        """Returns the scale for the next step, after a step whose gradients were finite or not."""
        if not finite:
            return LossScale(max(self.value / 2, _SMALLEST), 0)
        if self.good_steps + 1 >= GROWTH_INTERVAL:
            return LossScale(min(self.value * 2, _LARGEST), 0)
        return replace(self, good_steps=self.good_steps + 1)
