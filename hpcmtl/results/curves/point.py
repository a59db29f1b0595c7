"""The values of curves: what a task measured since the point before."""

from __future__ import annotations

from collections.abc import Mapping, Sequence  # noqa: TC003 - the fields are read to make points of JSON
from dataclasses import dataclass, field, fields
from typing import Any


@dataclass(frozen=True, kw_only=True)
class TrainingPoint:
    """A point of the curves of one task, equal on all ranks of its group.

    Attributes:
        step: number of optimizer steps of the task done.
        epoch: number of the epoch of the last of these steps, from 0.
        at: time in seconds since 1970.
        ends_epoch: whether the point is the end of an epoch. Its losses are then means over the samples of the epoch.
            Those of another point are means over the samples since the last point that is not the end of an epoch.
        losses: ``loss``, or ``<objective>.loss``, by name.
        metrics: metrics of the validation samples; only at the end of an epoch, and empty without a validation.
        learning_rate: base learning rate of the last step.
        samples_per_second: samples a second of the whole group, since the point before.
        gradient_norm: norm of the reduced gradient of a step since the point before; None where none was measured.
        loss_scale: scale of the losses of fp16; None elsewhere.
        skipped_steps: steps of the task so far that were skipped because of gradients that are not finite.
        weights: weight of each objective in the last step; empty where the task has one objective.
        cosines: cosines of the gradients of objectives, rows and columns in the order of `weights`; may be empty.
    """

    step: int
    epoch: int = 0
    at: float = 0.0
    ends_epoch: bool = False
    losses: Mapping[str, float] = field(default_factory=dict)
    metrics: Mapping[str, float | None] = field(default_factory=dict)
    learning_rate: float | None = None
    samples_per_second: float | None = None
    gradient_norm: float | None = None
    loss_scale: float | None = None
    skipped_steps: int = 0
    weights: Mapping[str, float] = field(default_factory=dict)
    cosines: Sequence[Sequence[float]] = ()


@dataclass(frozen=True)
class TaskPoints:
    """New points of the curves of one task, in order.

    Attributes:
        task: name of the task.
        points: the points.
    """

    task: str
    points: tuple[TrainingPoint, ...]


_FIELDS = {each.name: each for each in fields(TrainingPoint)}


def to_fields(point: TrainingPoint) -> dict[str, Any]:
    """Returns the fields of a point by name, without those that have their defaults."""
    empty = TrainingPoint(step=point.step)
    return {
        name: getattr(point, name) for name in _FIELDS if name == "step" or getattr(point, name) != getattr(empty, name)
    }


def from_fields(values: Mapping[str, Any]) -> TrainingPoint:
    """Returns the point with fields that came from JSON; unknown fields are ignored.

    Raises:
        TypeError: there is no step, or a step or time that is no number.
    """
    if type(values.get("step")) is not int or not isinstance(values.get("at", 0.0), int | float):
        raise TypeError(f"a point needs a step and a time that are numbers: {values}")
    return TrainingPoint(**{name: value for name, value in values.items() if name in _FIELDS})
