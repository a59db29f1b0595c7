"""The contract of an engine: after `mean`, every rank of the group holds the same MEAN over the group."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence


class Engine(Protocol):
    """Combines NDArrays of the ranks of one group, in place.

    All ranks call the same methods in the same order with arrays of the same shapes and dtypes (float32 or float16).
    """

    @property
    def name(self) -> str:
        """Its name in the job file."""
        ...

    @property
    def size(self) -> int:
        """Ranks in the group."""
        ...

    def mean(self, arrays: Sequence[Any]) -> None:
        """Overwrite each array with its mean over the group; each rank's share is divided before it is added."""
        ...

    def broadcast(self, arrays: Sequence[Any]) -> None:
        """Overwrite each array with that of the group's first rank."""
        ...

    def close(self) -> None:
        """Let go of the group; nothing may be called afterwards."""
        ...


class LocalEngine:
    """The engine of a group of one."""

    name = "local"
    size = 1

    def mean(self, arrays: Sequence[Any]) -> None:
        """The mean of one is itself."""

    def broadcast(self, arrays: Sequence[Any]) -> None:
        """There is nobody to tell."""

    def close(self) -> None:
        """There is nothing to let go."""
