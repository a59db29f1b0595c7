"""The choice of a table source for what is given: a path, a frame, arrays or rows."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hpcmtl.data.sealing.array_tables import ArrayFile, ArrayTable
from hpcmtl.data.sealing.arrow_tables import CsvTable, ParquetTable
from hpcmtl.data.sealing.file_tables import ImageFolder, TextLines
from hpcmtl.data.sealing.given_tables import SpooledRows, frame_table, is_frame
from hpcmtl.errors import InputError, Problem

if TYPE_CHECKING:
    from hpcmtl.data.sealing.cells import TableSource
    from hpcmtl.data.sealing.rules import Recipe

ARRAYS = frozenset({".npy", ".npz", ".h5", ".hdf5", ".hdf"})
_TABLES = frozenset({".csv", ".tsv"})
_PACKED = frozenset({".gz", ".bz2", ".zst"})
_PARQUET = frozenset({".parquet", ".pq"})
_LINES = frozenset({".txt", ".text"})
KNOWN = ".csv, .tsv (also .gz), .parquet, .npz, .npy, .h5, .txt, or a folder of images"


def source_of(data: Any, recipe: Recipe) -> TableSource:
    """Returns the source that reads what is given.

    Args:
        data: path of a file or folder, a frame, a mapping of arrays, or an iterable of rows or blocks.
        recipe: the recipe, which has the delimiter of CSV files.

    Raises:
        InputError: the path does not exist or has an unknown ending, or the data are of no known type.
    """
    if isinstance(data, str | os.PathLike):
        return _of_path(Path(data), recipe)
    if is_frame(data):
        return frame_table(data)
    if isinstance(data, Mapping):
        return ArrayTable("the arrays", {str(name): value for name, value in data.items()})
    if isinstance(data, Iterable):
        return SpooledRows(data)
    message = f"found {type(data).__name__}; give a path, a frame, a mapping of arrays, or rows"
    raise InputError([Problem("data", message)])


def _of_path(path: Path, recipe: Recipe) -> TableSource:
    if path.is_dir():
        return ImageFolder(path)
    if not path.is_file():
        raise InputError([Problem(str(path), "does not exist" if not path.exists() else "is no file or folder")])
    endings = [each.lower() for each in path.suffixes[-2:]] or [""]
    ending = endings[0] if endings[-1] in _PACKED else endings[-1]
    if ending in _TABLES:
        return CsvTable(path, recipe)
    if ending in _PARQUET:
        return ParquetTable(path)
    if ending in ARRAYS:
        return ArrayFile(path)
    if ending in _LINES and endings[-1] not in _PACKED:
        return TextLines(path)
    raise InputError([Problem(str(path), f"has the unknown ending {ending!r}; known are {KNOWN}")])
