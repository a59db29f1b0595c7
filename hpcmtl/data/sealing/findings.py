"""Problems of cells: the first row of each kind is named, and the others are counted."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from hpcmtl.errors import Problem

if TYPE_CHECKING:
    from hpcmtl.arrays import Bools, Ints


class CellFindings:
    """Collects the problems of one column; rows are counted from 1 in messages, without a header."""

    def __init__(self, where: str) -> None:
        self._where = where
        self._first: dict[str, tuple[int, str]] = {}
        self._count: dict[str, int] = {}

    def note(self, remedy: str, rows: Ints | Bools, start: int, found: str = "") -> None:
        """Notes rows of a block with one kind of problem.

        Args:
            remedy: what to do; it tells the kinds of problems apart.
            rows: numbers of the rows in the block, or a mask.
            start: number of the first row of the block.
            found: what the first of the rows holds.
        """
        numbers = np.flatnonzero(rows) if rows.dtype == np.bool_ else rows
        if len(numbers):
            self._first.setdefault(remedy, (start + int(numbers[0]) + 1, found))
            self._count[remedy] = self._count.get(remedy, 0) + len(numbers)

    def problems(self) -> list[Problem]:
        """Returns one problem for each kind."""
        made = []
        for remedy, (row, found) in self._first.items():
            others = self._count[remedy] - 1
            more = f" (and {others} more {'row' if others == 1 else 'rows'})" if others else ""
            made.append(Problem(self._where, f"row {row}{more} {found}; {remedy}"))
        return made


def shown(value: Any) -> str:
    """Returns a value of a table for a message, cut to a length that can be read."""
    text = repr(value.item() if isinstance(value, np.generic) else value)
    return text if len(text) <= 60 else f"{text[:57]}..."
