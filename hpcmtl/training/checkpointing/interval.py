"""How often a state is worth saving."""

from __future__ import annotations

import math

# A checkpoint never takes more than this part of the run time, however often failures are expected.
LARGEST_SHARE = 0.03


def best_interval(cost: float, time_between_failures: float) -> float:
    """Seconds of training between two checkpoints that lose the least time in the mean.

    The higher-order estimate of J. T. Daly, "A higher order estimate of the optimum checkpoint interval for restart
    dumps", Future Generation Computer Systems 22 (2006), eq. 37; its first term is that of J. W. Young (CACM 17, 1974).

    Args:
        cost: seconds that one checkpoint takes.
        time_between_failures: seconds, in the mean.
    """
    if cost >= 2 * time_between_failures:
        return max(time_between_failures, cost / LARGEST_SHARE)
    ratio = math.sqrt(cost / (2 * time_between_failures))
    best = math.sqrt(2 * cost * time_between_failures) * (1 + ratio / 3 + ratio * ratio / 9) - cost
    return max(best, cost / LARGEST_SHARE)
