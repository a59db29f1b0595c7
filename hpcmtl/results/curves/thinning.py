"""Fewer points of a curve: neighbours are merged in pairs."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from hpcmtl.results.curves.point import TrainingPoint

MOST_POINTS = 1000
"""Largest number of points of one sort (steps, ends of epochs) that `thinned` leaves."""


def thinned(points: Sequence[TrainingPoint], most: int = MOST_POINTS) -> list[TrainingPoint]:
    """Returns the points in order, at most `most` of the steps and `most` of the ends of epochs.

    Two neighbours between steps become the second of them, with the means of their losses by the steps that each stands
    for. Of the ends of epochs every second one is left out, so that each one left is exactly what was measured; the
    newest stays.

    Args:
        points: points of one task by step, as `read_points` returns them.
        most: 2 or more.
    """
    steps = [point for point in points if not point.ends_epoch]
    epochs = [point for point in points if point.ends_epoch]
    while len(steps) > most:
        steps = _merged(steps)
    while len(epochs) > most:
        epochs = epochs[(len(epochs) + 1) % 2 :: 2]
    return sorted([*steps, *epochs], key=lambda point: (point.step, point.ends_epoch))


def _merged(points: Sequence[TrainingPoint]) -> list[TrainingPoint]:
    """Merges the first point with the second, the third with the fourth, and so on; the last may stay alone."""
    spans = [point.step - before for before, point in zip([0, *(p.step for p in points)], points, strict=False)]
    kept = []
    for at in range(0, len(points) - 1, 2):
        one, two = points[at : at + 2]
        shares = (spans[at], spans[at + 1])
        kept.append(replace(two, losses=_means(one.losses, two.losses, shares), gradient_norm=_norm(one, two)))
    return [*kept, *points[len(kept) * 2 :]]


def _means(one: Mapping[str, float], two: Mapping[str, float], shares: tuple[int, int]) -> dict[str, float]:
    """Returns the mean of each loss; a loss that one of both lacks is that of the other."""
    total = sum(shares) or 1
    both = {name: (shares[0] * one[name] + shares[1] * two[name]) / total for name in one.keys() & two.keys()}
    return {name: both.get(name, {**one, **two}[name]) for name in (*one, *(name for name in two if name not in one))}


def _norm(one: TrainingPoint, two: TrainingPoint) -> float | None:
    return one.gradient_norm if two.gradient_norm is None else two.gradient_norm
