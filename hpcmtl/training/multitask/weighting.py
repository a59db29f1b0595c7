"""Weightings of objectives: the factors by which the losses of a task are added; pure numpy."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy as np

    from hpcmtl.arrays import Arrays
    from hpcmtl.networks.objective import Objective


class Weighting(Protocol):
    """Gives the weight of each objective at each step; one object on each rank, with the same state on all."""

    def weights(self) -> Sequence[float]:
        """Returns one weight an objective, for the next step; the same on all ranks."""
        ...

    def state(self) -> Arrays:
        """Returns copies of the state by name, equal on all ranks."""
        ...

    def load_state(self, state: Mapping[str, np.ndarray[Any, Any]]) -> None:
        """Restores what `state` returned; names that are missing take their initial values."""
        ...


class FixedWeights:
    """Weights of the job file, the same at each step."""

    def __init__(self, objectives: Sequence[Objective]) -> None:
        self._weights = tuple(objective.weight for objective in objectives)

    def weights(self) -> Sequence[float]:
        """See `Weighting`."""
        return self._weights

    def state(self) -> Arrays:
        """See `Weighting`."""
        return {}

    def load_state(self, state: Mapping[str, np.ndarray[Any, Any]]) -> None:
        """See `Weighting`."""
