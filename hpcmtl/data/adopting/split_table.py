"""The rows of adopted files as a table, of which the rule of a split reads one column."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from hpcmtl.data.originals import open_plain, original_dataset
from hpcmtl.data.sealing.array_tables import StoredColumn, rows_in_block
from hpcmtl.data.sealing.cells import Cells, TableBlock, cells_of
from hpcmtl.errors import InputError, Problem

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    from hpcmtl.data.originals import Original


class SplitTable:
    """Reads datasets of originals as columns, one file after the other; see `TableSource`."""

    def __init__(self, originals: Sequence[Original]) -> None:
        self.where = str(originals[0].path) + (f" and {len(originals) - 1} more" if len(originals) > 1 else "")
        self.folder = Path()
        self._originals = originals
        self._rows = sum(each.rows for each in originals)

    def blocks(self, names: Collection[str] | None = None) -> Iterator[TableBlock]:
        """See `TableSource`; without names the blocks have no columns.

        Raises:
            InputError: a dataset is missing, has another length, or holds neither numbers nor text.
        """
        first = 0
        for original in self._originals:
            with open_plain(original.path) as file:
                columns = {name: _column(file, original, name) for name in names or ()}
                step = rows_in_block(columns)
                for start in range(0, original.rows, step):
                    rows = min(step, original.rows - start)
                    cells = {
                        name: _cells(original, name, each, slice(start, start + rows)) for name, each in columns.items()
                    }
                    done = (first + start + rows) / self._rows
                    yield TableBlock(start=first + start, rows=rows, columns=cells, done=done)
            first += original.rows


def _column(file: object, original: Original, name: str) -> StoredColumn:
    column = StoredColumn(original.path, name, original_dataset(file, original.path, name))
    if column.shape != (original.rows,):
        message = f"has the shape {column.shape}; the split needs one value for each of {original.rows} samples"
        raise InputError([Problem(f"{original.path}: {name}", message)])
    return column


def _cells(original: Original, name: str, column: StoredColumn, rows: slice) -> Cells:
    try:
        return cells_of(column[rows])
    except (ValueError, UnicodeDecodeError) as error:
        raise InputError([Problem(f"{original.path}: {name}", str(error))]) from error
