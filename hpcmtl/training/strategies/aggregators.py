"""Aggregators: functions of one array a rank that leave the same array on all ranks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hpcmtl.training.collectives.base import Collective


class Aggregator(Protocol):
    """Combines the arrays of the ranks of a group by a collective."""

    def aggregate(self, collective: Collective, arrays: Sequence[Any]) -> None:
        """Overwrites each array with the aggregate over the group, bit-equal on all ranks (collective).

        Args:
            collective: collective that is open on the group.
            arrays: arrays of the kind that the collective takes.
        """
        ...


class MeanAggregator:
    """Takes the arithmetic mean over the ranks."""

    def aggregate(self, collective: Collective, arrays: Sequence[Any]) -> None:
        """See `Aggregator`."""
        collective.mean(arrays)
