"""Defines the device that a rank computes on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, kw_only=True)
class Device:
    """The device of one rank.

    Attributes:
        kind: kind of the device.
        index: number among the devices of its kind on the node, from 0.
        threads: number of threads that computations of the rank may use; at least 1.
    """

    kind: Literal["cpu"] = "cpu"
    index: int = 0
    threads: int = 1


HOST = Device()
"""One thread of the host: the device where nothing else is known."""
