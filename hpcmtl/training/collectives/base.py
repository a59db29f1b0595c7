"""Protocol of a collective: reductions and broadcasts of arrays over the ranks of one group."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from hpcmtl.communicators.base import Communicator
    from hpcmtl.frameworks.device import Device

ArrayKind = Literal["views", "native", "any"]
"""Kind of arrays that a collective takes: numpy views, arrays of the deep-learning framework, or either."""


class Collective(Protocol):
    """Combines arrays of the ranks of one group, in place.

    All ranks call the same methods in the same order, with arrays of the same shapes and dtypes (float32 or float16).
    A collective of numpy views returns when the result is there. A collective of native arrays may return earlier: the
    framework orders later operations on the same arrays after it.
    """

    @property
    def name(self) -> str:
        """Name of the collective, as `engine` in the job file."""
        ...

    @property
    def takes(self) -> ArrayKind:
        """Kind of arrays that `mean` and `broadcast` take."""
        ...

    @property
    def size(self) -> int:
        """Number of ranks in the group."""
        ...

    def mean(self, arrays: Sequence[Any]) -> None:
        """Overwrites each array with its mean over the group, bit-equal on all ranks.

        The share of each rank is divided by the number of ranks before the sum, so that float16 sums do not overflow.
        """
        ...

    def broadcast(self, arrays: Sequence[Any]) -> None:
        """Overwrites each array with that of the group's first rank."""
        ...

    def close(self) -> None:
        """Releases the group; no other method may be called afterwards."""
        ...


@dataclass(frozen=True, kw_only=True)
class CollectiveFactory:
    """A collective that a framework brings for its native arrays.

    Attributes:
        open: function that opens the collective on a group.
        unusable: function that returns the reason why the collective cannot serve a group, or None if it can.
        misfit: the same for a group whose ranks compute on devices; all ranks of the group call it (collective).
    """

    open: Callable[[Communicator], Collective]
    unusable: Callable[[Communicator], str | None] = lambda _group: None
    misfit: Callable[[Communicator, Device], str | None] = lambda _group, _device: None
