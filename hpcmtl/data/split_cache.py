"""The rows of a split that are kept in memory, in that of this process or of the ranks of its node."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hpcmtl.arrays import Arrays
    from hpcmtl.data.shared_memory import SharedSegment
    from hpcmtl.data.split_rows import SplitLayout


@dataclass(eq=False)
class SplitCache:
    """Holds a split that fits into memory, once read, for all readers with the same `BatchSpec`.

    Attributes:
        block: samples per block of the files; the order of an epoch depends on it.
        arrays: key of each source -> its rows; None before the first read.
        segment: memory of the rows, if ranks of the node share them.
    """

    block: int = 0
    arrays: Arrays | None = None
    segment: SharedSegment | None = None

    @property
    def bytes(self) -> int:
        """Memory of the rows, in bytes."""
        return sum(array.nbytes for array in (self.arrays or {}).values())

    def hold(self, segment: SharedSegment, layout: SplitLayout) -> None:
        """Holds the rows in shared memory instead of those before."""
        if segment is not self.segment:
            self.clear()
        self.block, self.arrays, self.segment = layout.block, layout.arrays(segment), segment
        for array in self.arrays.values():
            array.flags.writeable = False

    def clear(self) -> None:
        """Drops the rows; memory that other ranks share stays theirs."""
        if self.segment is not None:
            self.segment.close()
        self.arrays = self.segment = None
