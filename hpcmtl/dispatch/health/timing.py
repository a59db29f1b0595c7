"""Intervals of the heartbeat and of the watchdog."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class HeartbeatTiming:
    """Intervals of the heartbeat and of the watchdog.

    Attributes:
        interval: seconds between two heartbeats of a rank.
        hung: seconds from the suspicion of a rank to its fencing; 0 to fence no rank.
    """

    interval: float
    hung: float = 0.0
