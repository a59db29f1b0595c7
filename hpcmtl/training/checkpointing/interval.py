"""Optimum interval between checkpoints."""

from __future__ import annotations

import math

# Largest fraction of the run time that checkpoints may take, also if failures are frequent.
LARGEST_SHARE = 0.03


def best_interval(cost: float, time_between_failures: float) -> float:
    """Returns the seconds of training between two checkpoints that minimise the expected loss of time.

    The higher-order estimate of J. T. Daly, "A higher order estimate of the optimum checkpoint interval for restart
    dumps", Future Generation Computer Systems 22 (2006), eq. 37; its first term is that of J. W. Young (CACM 17, 1974).

    Args:
        cost: duration of one checkpoint in seconds.
        time_between_failures: mean time between failures in seconds.
    """
    if cost >= 2 * time_between_failures:
        return max(time_between_failures, cost / LARGEST_SHARE)
    ratio = math.sqrt(cost / (2 * time_between_failures))
    best = math.sqrt(2 * cost * time_between_failures) * (1 + ratio / 3 + ratio * ratio / 9) - cost
    return max(best, cost / LARGEST_SHARE)
