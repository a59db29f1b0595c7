"""Weights of objectives, and angles between their gradients, over the steps of a layer: for the record of the run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hpcmtl.arrays import Floats
    from hpcmtl.jobfile.weighting import GradientMeasuring


class ObjectiveTotals:
    """Sums over steps, from which `taken` makes means.

    Attributes:
        newest_cosines: (objectives, objectives) cosines between the gradients of the last step; None if not measured.
    """

    def __init__(self, objectives: Sequence[str], measuring: GradientMeasuring | None = None) -> None:
        """Takes the names of the objectives, and how gradients are measured; without names nothing is recorded."""
        self._names, self._inexact = tuple(objectives), "" if measuring is None else measuring.inexact
        self.newest_cosines: Floats | None = None
        self._clear()

    def _clear(self) -> None:
        count = len(self._names)
        self._weighed, self._weights = 0, np.zeros(count)
        self._compared, self._cosines, self._conflicts = 0, np.zeros((count, count)), np.zeros((count, count))

    def add(self, weights: Sequence[float], cosines: Floats | None) -> None:
        """Adds the weights of a step, if there are some, and the cosines between the gradients, if they are known."""
        self.newest_cosines = cosines
        if len(weights) and self._names:
            self._weighed += 1
            self._weights += weights
        if cosines is not None and self._names:
            self._compared += 1
            self._cosines += cosines
            self._conflicts += cosines < 0

    def taken(self) -> dict[str, Any]:
        """Returns the means over the steps that were added, and begins again.

        Returns:
            ``objective_weights``: mean weight of each objective. ``objective_cosines``: mean cosine between the
            gradients of each pair, by ``"one, other"``. ``objective_conflicts``: share of steps with a negative one.
            ``objective_gradients_inexact``: keys and values of the job file by which they are no whole gradients.
        """
        found: dict[str, Any] = {}
        if self._weighed:
            means = self._weights / self._weighed
            found["objective_weights"] = {name: float(mean) for name, mean in zip(self._names, means, strict=True)}
        if self._compared:
            found["objective_cosines"] = self._by_pair(self._cosines)
            found["objective_conflicts"] = self._by_pair(self._conflicts)
            if self._inexact:
                found["objective_gradients_inexact"] = self._inexact
        self._clear()
        return found

    def _by_pair(self, sums: Floats) -> dict[str, float]:
        names = list(enumerate(self._names))
        return {
            f"{name}, {other}": round(float(sums[one, two]) / self._compared, 6)
            for one, name in names
            for two, other in names[one + 1 :]
        }
