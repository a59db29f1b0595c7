"""Tables that a program gives: frames of pandas, mappings of arrays, and rows or blocks from a generator."""

from __future__ import annotations

import pickle
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hpcmtl.data.sealing.array_tables import ArrayTable
from hpcmtl.data.sealing.cells import Cells, TableBlock, cells_of
from hpcmtl.errors import InputError, Problem

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

_ROWS = 4096


def is_frame(data: Any) -> bool:
    """Returns true for a frame of pandas or of a library like it."""
    return hasattr(data, "columns") and hasattr(data, "isna") and hasattr(data, "to_numpy")


def frame_table(data: Any) -> ArrayTable:
    """Returns the table of a frame; its index is left out.

    Raises:
        InputError: two columns have one name.
    """
    names = [str(name) for name in data.columns]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise InputError([Problem("the frame", f"has two columns {', '.join(twice)}; give each a name of its own")])
    columns = [data.iloc[:, place] for place in range(len(names))]
    arrays = {name: _plain(column) for name, column in zip(names, columns, strict=True)}
    missing = {name: np.asarray(column.isna()) for name, column in zip(names, columns, strict=True)}
    return ArrayTable("the frame", arrays, missing)


def _plain(column: Any) -> Any:
    array = column.to_numpy()
    if not isinstance(array, np.ndarray):
        array = np.asarray(array)
    return array.astype(object) if array.dtype.kind not in "iufbOMmUS" else array


class SpooledRows:
    """Rows from an iterable, kept in a file without a name, since a table is read more than once; see `TableSource`.

    The iterable gives mappings: of cells, one for each row, or of arrays, one for each block of rows.

    Attributes:
        has_blocks: true if it gave blocks, whose columns are arrays of their own; rows are those of a table.
    """

    def __init__(self, given: Iterable[Any]) -> None:
        self.where = "the rows"
        self.folder = Path()
        self._file = tempfile.TemporaryFile(prefix="hpcmtl")  # noqa: SIM115 - closed with this object
        self._names: list[str] | None = None
        self._rows = 0
        self.has_blocks = False
        waiting: list[Mapping[str, Any]] = []
        for each in given:
            if not isinstance(each, Mapping):
                message = f"found {type(each).__name__}; give mappings of names to cells or to arrays"
                raise InputError([Problem(f"{self.where}: row {self._rows + len(waiting) + 1}", message)])
            self._check_names(each, self._rows + len(waiting) + 1)
            if _is_block(each):
                self.has_blocks = True
                self._store_rows(waiting)
                self._store({str(name): cells_in(self.where, str(name), value) for name, value in each.items()})
            else:
                waiting.append(each)
                if len(waiting) == _ROWS:
                    self._store_rows(waiting)
        self._store_rows(waiting)

    def _check_names(self, given: Mapping[str, Any], row: int) -> None:
        names = sorted(map(str, given))
        self._names = names if self._names is None else self._names
        if names != self._names:
            message = f"has {', '.join(names) or 'nothing'}; the rows before have {', '.join(self._names)}"
            raise InputError([Problem(f"{self.where}: row {row}", f"{message}; give None for a missing cell")])

    def _store_rows(self, waiting: list[Mapping[str, Any]]) -> None:
        if waiting:
            columns = {str(name): [row[name] for row in waiting] for name in waiting[0]}
            self._store({name: cells_in(self.where, name, values) for name, values in columns.items()})
            waiting.clear()

    def _store(self, columns: dict[str, Cells]) -> None:
        lengths = {len(cells.values) for cells in columns.values()}
        if len(lengths) > 1:
            message = f"the block from row {self._rows + 1} on has arrays of different lengths"
            raise InputError([Problem(self.where, message)])
        pickle.dump((self._rows, columns), self._file, protocol=5)
        self._rows += next(iter(lengths), 0)

    def blocks(self, names: Collection[str] | None = None) -> Iterator[TableBlock]:
        """See `TableSource`."""
        end = self._file.seek(0, 2)
        place = 0
        while place < end:
            self._file.seek(place)
            start, columns = pickle.load(self._file)  # noqa: S301 - written above, into a file without a name
            place = self._file.tell()
            chosen = columns if names is None else {name: columns[name] for name in names}
            rows = len(next(iter(columns.values())).values)
            yield TableBlock(start=start, rows=rows, columns=chosen, done=place / end)


def _is_block(given: Mapping[str, Any]) -> bool:
    """Returns true if every value is an array or a list, whose first axis counts rows."""
    return bool(given) and all(isinstance(each, np.ndarray | list) and np.ndim(each) for each in given.values())


def cells_in(where: str, name: str, values: Any) -> Cells:
    """Returns cells of a named column.

    Raises:
        InputError: the values are not of one type.
    """
    try:
        return cells_of(values)
    except (ValueError, UnicodeDecodeError) as error:
        raise InputError([Problem(f"{where}: column {name!r}", str(error))]) from error
