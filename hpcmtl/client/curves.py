"""The curves of one task as values, arrays and a table."""

from __future__ import annotations

import csv
import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, overload

import numpy as np

from hpcmtl.results.curves.point import TrainingPoint

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping

    from hpcmtl.arrays import Arrays

_PLAIN = ("step", "epoch", "at", "ends_epoch")
_OPTIONAL = ("learning_rate", "samples_per_second", "gradient_norm", "loss_scale", "skipped_steps")
_SHOWN = 12  # columns that a text has at most


class TaskCurves(Sequence[TrainingPoint]):
    """The points of the curves of one task by step, see `TrainingPoint`.

    Args:
        points: the points, in their order.
    """

    def __init__(self, points: Sequence[TrainingPoint]) -> None:
        self._points = tuple(points)

    @overload
    def __getitem__(self, at: int) -> TrainingPoint: ...
    @overload
    def __getitem__(self, at: slice) -> TaskCurves: ...
    def __getitem__(self, at: int | slice) -> TrainingPoint | TaskCurves:
        """Returns one point, or consecutive ones."""
        return TaskCurves(self._points[at]) if isinstance(at, slice) else self._points[at]

    def __len__(self) -> int:
        return len(self._points)

    def __repr__(self) -> str:
        names = [*self.arrays()]
        more = "" if len(names) <= _SHOWN else f" and {len(names) - _SHOWN} more"
        return f"<curves of {len(self)} points: {', '.join(names[:_SHOWN])}{more}>"

    @property
    def epochs(self) -> TaskCurves:
        """The points at ends of epochs, which have means over the epoch and the metrics of the validation."""
        return TaskCurves([point for point in self._points if point.ends_epoch])

    @property
    def steps(self) -> TaskCurves:
        """The points between ends of epochs, which have means over the samples since the point before."""
        return TaskCurves([point for point in self._points if not point.ends_epoch])

    def arrays(self) -> Arrays:
        """Returns one array (points,) a quantity, by name; NaN where a point does not have it.

        Losses and metrics have their own names, weights of objectives the name ``weight.OBJECTIVE``. Quantities that no
        point has are left out.
        """
        rows = [_values_of(point) for point in self._points]
        names = dict.fromkeys([*_PLAIN, *(name for row in rows for name in row)])
        types = {"step": np.int64, "epoch": np.int64, "ends_epoch": np.bool_}
        return {
            name: np.array([row.get(name, math.nan) for row in rows], types.get(name, np.float64)) for name in names
        }

    def to_csv(self, path: str | os.PathLike[str]) -> None:
        """Writes a table with one row a point and one column a quantity, see `arrays`; a missing value is empty."""
        rows = [_values_of(point) for point in self._points]
        names = list(self.arrays())
        with Path(path).open("w", newline="", encoding="utf-8") as file:
            table = csv.writer(file)
            table.writerow(names)
            table.writerows([row.get(name, "") for name in names] for row in rows)


def _values_of(point: TrainingPoint) -> dict[str, float]:
    """Returns the quantities that a point has, by name."""
    plain = {name: getattr(point, name) for name in _PLAIN}
    mappings: tuple[Mapping[str, float | None], ...] = (
        point.losses,
        point.metrics,
        {name: getattr(point, name) for name in _OPTIONAL},
        {f"weight.{name}": weight for name, weight in point.weights.items()},
    )
    known = {name: value for values in mappings for name, value in values.items() if value is not None}
    return {**plain, **{name: value for name, value in known.items() if name != "skipped_steps" or value}}
