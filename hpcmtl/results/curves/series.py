"""Series of numbers from the points of a task: one for each thing that was measured."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from hpcmtl.jobfile.metrics import better_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from hpcmtl.results.curves.point import TrainingPoint

    _Found = dict[str, tuple[list[int], list[float], list[float]]]


@dataclass(frozen=True)
class Series:
    """The values of one measurement by step.

    Attributes:
        name: name as in the results, such as ``digit.loss`` or ``val_accuracy``; ``learning_rate``,
            ``samples_per_second``, ``gradient_norm`` and ``loss_scale``; ``weight.<objective>``;
            ``cosine.<objective>.<objective>``.
        steps: number of optimizer steps of the task done, ascending.
        values: one value for each of them.
        times: time of each, in seconds since 1970.
    """

    name: str
    steps: Sequence[int] = field(default_factory=list)
    values: Sequence[float] = field(default_factory=list)
    times: Sequence[float] = field(default_factory=list)

    @property
    def best(self) -> tuple[int, float] | None:
        """Step and value of the best value, the first of equal ones; None where no order is known."""
        better = better_of(self.name)
        if better is None or not self.values:
            return None
        choose = max if better == "higher" else min
        at = choose(range(len(self.values)), key=lambda index: self.values[index])
        return self.steps[at], self.values[at]


def series_of(points: Iterable[TrainingPoint]) -> dict[str, Series]:
    """Returns the series of one task by name: losses, metrics, and then the others.

    Losses are those of the points between steps. A task that has none of these, and what is measured by epochs alone,
    has the values of the ends of epochs.
    """
    points = list(points)
    steps = [point for point in points if not point.ends_epoch]
    ends = [point for point in points if point.ends_epoch]
    found: _Found = {}
    for point in steps or ends:
        _add(found, point, point.losses.items())
    for point in ends:
        _add(found, point, ((name, value) for name, value in point.metrics.items() if value is not None))
    for point in steps or ends:
        _add(found, point, _others(point))
    return {name: Series(name, *values) for name, values in found.items()}


def values_of(point: TrainingPoint) -> dict[str, float]:
    """Returns what one point has, by the names of series: losses, metrics with a value, and the others."""
    metrics = {name: value for name, value in point.metrics.items() if value is not None}
    return {**point.losses, **metrics, **dict(_others(point))}


def _add(found: _Found, point: TrainingPoint, values: Iterable[tuple[str, float]]) -> None:
    for name, value in values:
        steps, series, times = found.setdefault(name, ([], [], []))
        steps.append(point.step)
        series.append(value)
        times.append(point.at)


def _others(point: TrainingPoint) -> Iterator[tuple[str, float]]:
    for name in ("learning_rate", "samples_per_second", "gradient_norm", "loss_scale"):
        value = getattr(point, name)
        if value is not None:
            yield name, value
    for name, weight in point.weights.items():
        yield f"weight.{name}", weight
    names = list(point.weights)
    if len(point.cosines) == len(names):
        for one, row in enumerate(point.cosines):
            yield from ((f"cosine.{names[one]}.{names[two]}", row[two]) for two in range(one + 1, len(names)))
