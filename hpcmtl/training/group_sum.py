"""Sum over the ranks of a group inside a training pass, and the block in which passes use one rank alone."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import numpy as np
    from typing_extensions import Self


class GroupSum:
    """Sum of vectors over the ranks of the present group; of this rank alone where there is none.

    Attributes:
        counts: whether the rows of this rank are samples, and no filler.
        total: function that overwrites an array by its sum over the group; None for this rank alone.
    """

    def __init__(self) -> None:
        self.counts = True
        self.total: Callable[[np.ndarray[Any, Any]], None] | None = None

    def __deepcopy__(self, _memo: object) -> Self:
        """Returns a sum of this rank alone: a copy of a network is run by one rank when it likes."""
        return type(self)()


@contextmanager
def alone(group: GroupSum | None) -> Iterator[None]:
    """Lets passes in a block use this rank's rows alone, all of them."""
    kept = None if group is None else (group.total, group.counts)
    if group is not None:
        group.total, group.counts = None, True
    try:
        yield
    finally:
        if group is not None and kept is not None:
            group.total, group.counts = kept
