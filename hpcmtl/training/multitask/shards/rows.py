"""Seams for methods that need more of the gradients than their Gramian: rows and coordinates of a shard."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np

    from hpcmtl.arrays import Arrays, Floats


class RowTransform(Protocol):
    """Makes other rows of the gradients of objectives, before their Gramian is taken.

    It sees the shard of this rank: some coordinates of the gradients of all objectives over the whole group's batch.

    Attributes:
        combined: true if weights belong to the new rows, false if to the gradients themselves.
        needs_losses: true if `transform` takes the losses of this step's batch.
    """

    combined: bool
    needs_losses: bool

    def transform(self, rows: Floats, losses: Floats | None) -> Floats:
        """Returns the new rows; called once a step.

        Args:
            rows: (objectives, coordinates) gradients on this rank's shard, which stay as they are.
            losses: (objectives,) mean losses of this step's batch, if they are needed.
        """
        ...

    def state(self) -> Arrays:
        """Returns copies of the state; the last axis of each array with axes is that of this shard's coordinates."""
        ...

    def load_state(self, state: Mapping[str, np.ndarray[Any, Any]]) -> None:
        """Restores what `state` returned, cut for the present shard; {} is the state before the first step."""
        ...


class GradientCombiner(Protocol):
    """Makes the update from the gradients of all objectives coordinate by coordinate; such methods have no weights."""

    def combine(self, rows: Floats, first: int) -> Floats:
        """Returns the update on this rank's shard; called once a step.

        Args:
            rows: (objectives, coordinates) gradients on this rank's shard, which stay as they are.
            first: number of the shard's first coordinate among all; random numbers belong to the coordinate.
        """
        ...

    def state(self) -> Arrays:
        """See `RowTransform.state`."""
        ...

    def load_state(self, state: Mapping[str, np.ndarray[Any, Any]]) -> None:
        """See `RowTransform.load_state`."""
        ...


class ShardState:
    """State as arrays by name, which has no shape before the first step.

    Attributes:
        values: the present arrays; empty before the first step.
    """

    def __init__(self) -> None:
        self.values: Arrays = {}

    def state(self) -> Arrays:
        """See `RowTransform`."""
        return {name: array.copy() for name, array in self.values.items()}

    def load_state(self, state: Mapping[str, np.ndarray[Any, Any]]) -> None:
        """See `RowTransform`."""
        self.values = {name: array.copy() for name, array in state.items()}
