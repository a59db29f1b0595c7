"""The progress of a running layer, as its group reports it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class StepProgress:
    """The progress of a running layer, reported by the first rank of its group.

    Attributes:
        task: name of the task.
        layer: number of the layer, from 0.
        epoch: number of the epoch, from 0.
        loss: latest mean loss over the group; None for a task that has none.
        samples_per_second: samples a second of the whole group.
        fraction: share of the layer that is done, 0 to 1.
        step: number of steps of the layer that are done.
        steps_per_second: steps a second of the group.
        seconds_to_next: seconds to the next report of this layer; None if other work than steps comes before it.
    """

    task: str
    layer: int
    epoch: int
    loss: float | None
    samples_per_second: float
    fraction: float
    step: int = 0
    steps_per_second: float = 0.0
    seconds_to_next: float | None = None
