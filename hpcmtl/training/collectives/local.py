"""Collective of a group of one rank."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hpcmtl.training.collectives.base import ArrayKind


class LocalCollective:
    """Leaves all arrays unchanged, which is the mean over one rank; see `Collective`."""

    name = "local"
    takes: ArrayKind = "any"
    size = 1

    def mean(self, arrays: Sequence[Any]) -> None:
        """See `Collective`."""

    def broadcast(self, arrays: Sequence[Any]) -> None:
        """See `Collective`."""

    def close(self) -> None:
        """See `Collective`."""
