"""The heartbeat of a rank, as a value."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Heartbeat:
    """The state of a rank's process, as its heartbeat reports it.

    Attributes:
        rank: number of the rank.
        rss: resident memory of its process in bytes.
        cpu: cores that its process kept busy since the last heartbeat.
        load: load average of its node, see `launch.resources.facts.RankFacts`.
        memory_available: available memory of its node in bytes.
        task: task that it works for; empty if it waits for work.
        layer: layer of the task.
        step: last reported step of the layer; only the first rank of a group reports steps.
        steps_per_second: last reported steps a second.
        pid: process id.
        born: start of the process, in seconds since 1970.
    """

    rank: int
    rss: int
    cpu: float
    load: float
    memory_available: int
    task: str = ""
    layer: int = 0
    step: int = 0
    steps_per_second: float = 0.0
    pid: int = 0
    born: float = 0.0

    @property
    def doing(self) -> str:
        """Activity of the rank in words."""
        if not self.task:
            return "nothing: it waited for work"
        return f"task {self.task}, layer {self.layer}" + (f", step {self.step}" if self.step else "")
