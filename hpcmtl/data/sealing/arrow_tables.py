"""Tables in CSV and Parquet files, read in record batches; the one module that imports pyarrow."""

from __future__ import annotations

import re
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from hpcmtl.data.sealing.cells import Cells, TableBlock
from hpcmtl.errors import EnvironmentUnfitError, HpcmtlError, InputError, Problem

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping
    from pathlib import Path

    from hpcmtl.data.sealing.rules import Recipe

BLOCK_BYTES = 2 << 20
"""Bytes of a CSV file in a block; the types of columns are guessed from the first one."""
BLOCK_ROWS = 1 << 16
_REMEDY = "correct the line; if its cells are cut wrong, give the `delimiter` in a columns file"
_AS_TEXT = frozenset({"categorical", "one_hot", "tokens", "image"})
_COLUMN = re.compile(r"In CSV column #(\d+): (?:Row #\d+: )?CSV conversion error to (\w+)")


class TypesWidenedError(HpcmtlError):
    """A column of a CSV file has other values than its first rows; the pass has to begin again with a wider type."""


def _pyarrow(where: str) -> Any:
    try:
        import pyarrow as pa
    except ImportError as error:
        message = f"{where}: CSV and Parquet files need pyarrow ({error}): pip install 'hpcmtl[data]'"
        raise EnvironmentUnfitError(message) from error
    return pa


@contextmanager
def _naming_damage(where: str, pa: Any, remedy: str) -> Iterator[None]:
    """Turns errors of pyarrow into refusals of the file."""
    try:
        yield
    except (pa.ArrowException, OSError, ValueError, KeyError, OverflowError, TypeError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise InputError([Problem(where, f"cannot be read ({reason}); {remedy}")]) from error


class CsvTable:
    """A CSV file with a line of column names, compressed or not; see `TableSource`."""

    def __init__(self, path: Path, recipe: Recipe) -> None:
        self.where = str(path)
        self.folder = path.parent
        self._path = path
        self._recipe = recipe
        self._pa = _pyarrow(self.where)
        self._quotes: bool | None = None
        self._header: list[str] = []
        self._types: dict[str, Any] = {
            name: self._pa.string() for name, rule in recipe.columns.items() if rule.kind in _AS_TEXT
        }
        if recipe.split.by in {"stratified", "grouped", "column"} and recipe.split.column:
            self._types[recipe.split.column] = self._pa.string()

    def blocks(self, names: Collection[str] | None = None) -> Iterator[TableBlock]:
        """See `TableSource`."""
        size = max(self._path.stat().st_size, 1) if self._path.is_file() else 1
        start = 0
        with _naming_damage(self.where, self._pa, _REMEDY):
            try:
                with self._pa.OSFile(self.where) as raw:
                    reader = self._reader(raw, names)
                    if names is None:
                        self._header = reader.schema.names
                        self._check_names(self._header)
                    for batch in reader:
                        yield _block(batch, start, min(raw.tell() / size, 1.0))
                        start += batch.num_rows
            except self._pa.ArrowInvalid as error:
                # The number of a column is that in the file, also where only some are read.
                self._widen(str(error), self._header or self._names())
                raise

    def _reader(self, raw: Any, names: Collection[str] | None, types: Mapping[str, Any] | None = None) -> Any:
        import pyarrow.csv

        recipe, suffixes = self._recipe, [suffix.lower() for suffix in self._path.suffixes]
        packed = {".gz": "gzip", ".bz2": "bz2", ".zst": "zstd"}.get(suffixes[-1] if suffixes else "")
        stream = raw if packed is None else self._pa.CompressedInputStream(raw, packed)
        more = {} if recipe.missing_values is None else {"null_values": [*recipe.missing_values]}
        tab = "\t" if ".tsv" in suffixes else ","
        return pyarrow.csv.open_csv(
            stream,
            read_options=pyarrow.csv.ReadOptions(block_size=BLOCK_BYTES),
            parse_options=pyarrow.csv.ParseOptions(
                delimiter=recipe.delimiter or tab, newlines_in_values=self._has_quotes(packed is not None)
            ),
            convert_options=pyarrow.csv.ConvertOptions(
                column_types=self._types if types is None else types,
                strings_can_be_null=True,
                include_columns=None if names is None else [*names],
                **more,
            ),
        )

    def _has_quotes(self, packed: bool) -> bool:
        """Returns true if a cell may hold a line break; pyarrow parses a file without quotes a third faster."""
        if self._quotes is None:
            with self._path.open("rb") as file:
                self._quotes = packed or any(b'"' in part for part in iter(lambda: file.read(BLOCK_BYTES), b""))
        return self._quotes

    def _names(self) -> list[str]:
        """Returns the names of all columns, for an error that came before the first block."""
        with self._path.open("rb") as file:
            head = file.read(1 << 16).split(b"\n", 1)[0]
        separator = self._recipe.delimiter or ("\t" if ".tsv" in self._path.suffixes else ",")
        return [name.strip().strip('"') for name in head.decode("utf-8", "replace").split(separator)]

    def _check_names(self, names: list[str]) -> None:
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            message = f"the columns {', '.join(map(repr, twice))} are there twice; give each a name of its own"
            raise InputError([Problem(self.where, message)])

    def _widen(self, error: str, names: list[str]) -> None:
        """Notes a wider type for the column that an error names: whole numbers become floats, the others text."""
        found = _COLUMN.search(error)
        if found is None or int(found[1]) >= len(names):
            return
        name, floats = names[int(found[1])], self._pa.float64()
        wider = floats if found[2].startswith("int") and self._types.get(name) is None else self._pa.string()
        if found[2] == "null":
            wider = floats
        if self._types.get(name) == wider or self._types.get(name) == self._pa.string():
            return
        self._types[name] = wider
        raise TypesWidenedError(name)


class ParquetTable:
    """A Parquet file; see `TableSource`."""

    def __init__(self, path: Path) -> None:
        self.where = str(path)
        self.folder = path.parent
        self._pa = _pyarrow(self.where)

    def blocks(self, names: Collection[str] | None = None) -> Iterator[TableBlock]:
        """See `TableSource`."""
        start = 0
        with _naming_damage(self.where, self._pa, "write the file again"), self._opened() as file:
            rows = max(file.metadata.num_rows, 1)
            # Batches of wide tables have few rows, so that a batch has about 64 MiB at most.
            wide = max(1, min(BLOCK_ROWS, (64 << 20) // max(8 * file.metadata.num_columns, 1)))
            for batch in file.iter_batches(wide, columns=None if names is None else [*names]):
                batch.validate(full=True)
                yield _block(batch, start, (start + batch.num_rows) / rows)
                start += batch.num_rows

    def _opened(self) -> Any:
        import pyarrow.parquet

        return pyarrow.parquet.ParquetFile(self.where)


def _block(batch: Any, start: int, done: float) -> TableBlock:
    columns = {name: _cells(name, column) for name, column in zip(batch.schema.names, batch.columns, strict=True)}
    return TableBlock(start=start, rows=batch.num_rows, columns=columns, done=done)


def _cells(name: str, column: Any) -> Cells:
    """Returns the cells of a column of a record batch."""
    column = _plain_column(name, column)
    kind = str(column.type)
    missing = np.zeros(len(column), np.bool_)
    if column.null_count:
        missing = column.is_null().to_numpy(zero_copy_only=False)
    if kind == "string":
        coded = column.dictionary_encode()
        words = coded.dictionary.to_numpy(zero_copy_only=False)
        places = coded.indices.fill_null(0).to_numpy(zero_copy_only=False)
        return Cells(values=places, missing=missing, words=words if len(words) else np.array([""], dtype=object))
    if column.null_count and not kind.startswith("timestamp"):
        column = column.fill_null(False if kind == "bool" else 0)
    values = column.to_numpy(zero_copy_only=False)
    if values.dtype.kind == "f":
        missing = missing | np.isnan(values)
    return Cells(values=values, missing=missing)


def _plain_column(name: str, column: Any) -> Any:
    """Returns a column as one of whole numbers, floats, truth values, text, or times in microseconds."""
    import pyarrow as pa
    from pyarrow import types

    kind = column.type
    if types.is_dictionary(kind):
        return _plain_column(name, column.cast(kind.value_type))
    if types.is_decimal(kind) or types.is_null(kind) or types.is_float16(kind):
        return column.cast(pa.float64())
    if types.is_date(kind) or types.is_timestamp(kind):
        zone = "UTC" if getattr(kind, "tz", None) else None
        return column.cast(pa.timestamp("us", tz=zone), safe=False)
    if types.is_string(kind) or types.is_large_string(kind) or types.is_binary(kind):
        return column.cast(pa.string())
    if not types.is_integer(kind) and not types.is_floating(kind) and not types.is_boolean(kind):
        raise ValueError(f"column {name!r} is of type {kind}; write numbers, text or dates")
    return column
