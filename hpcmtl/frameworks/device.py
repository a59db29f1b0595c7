"""Defines the device that a rank computes on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

DeviceKind = Literal["cpu", "gpu"]


@dataclass(frozen=True, kw_only=True)
class Device:
    """The device of one rank.

    Attributes:
        kind: kind of the device.
        index: number among the devices of its kind that the process may use, from 0.
        threads: number of threads that computations of the rank may use; at least 1.
    """

    kind: DeviceKind = "cpu"
    index: int = 0
    threads: int = 1


HOST = Device()
"""One thread of the host: the device where nothing else is known."""


@dataclass(frozen=True, kw_only=True)
class RankDevices:
    """The devices that a rank can compute on.

    Attributes:
        cpu: its share of the processor.
        gpu: its GPU; None without one.
        fit: names of the frameworks that have computed on that GPU.
        mixed: whether some ranks of the run can use a GPU and others cannot, for some framework.
    """

    cpu: Device = HOST
    gpu: Device | None = None
    fit: frozenset[str] = frozenset()
    mixed: bool = False

    def gpu_for(self, framework: str) -> Device | None:
        """Returns the GPU of the rank if a framework has computed on it; else None."""
        return self.gpu if framework in self.fit else None
