"""Round distances between the ticks of an axis."""

from __future__ import annotations

import math


def round_up(wanted: float) -> float:
    """Returns 1, 2 or 5 times a power of ten, the smallest from `wanted` on; 1 if nothing is wanted."""
    power = 10.0 ** math.floor(math.log10(wanted)) if wanted > 0 else 1.0
    return next(power * digit for digit in (1, 2, 5, 10) if power * digit >= wanted * (1 - 1e-9))
