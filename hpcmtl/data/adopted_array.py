"""Arrays of an adopted file: rows of the originals, each block compared with its checksum."""

from __future__ import annotations

import json
import os
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from hpcmtl.data.array_writer import checksum_of
from hpcmtl.data.contract import NUMBERS, rows_per_chunk
from hpcmtl.data.missing import declared
from hpcmtl.data.open_file import naming_damage
from hpcmtl.data.originals import REMEDY, Original, OriginalRows
from hpcmtl.data.value_summary import ValueSummary
from hpcmtl.errors import InputError, Problem, nearest

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    import h5py
    from numpy.typing import NDArray

    from hpcmtl.data.value_summary import Spread

ORIGINALS, ARRAYS, SPREADS = "adopted/originals", "adopted/arrays", "adopted/spreads"
"""Groups of an adopted file: identity of each original, checksums of blocks by array, extremes of positions."""
DELIVERED = ("classes", "scale", "units", "missing", "checksum")
"""Attributes of an array that those of a dataset in a sealed file are."""
_EXTREMES = ("smallest", "largest", "fraction", "rounded")
_SAMPLES = ("not_finite", "partly", "absent")
_KNOWN = "known"
"""Key and group of the summary without missing values; an array has at most one number for them."""


class AdoptedArray:
    """Reads an array of an adopted file as `h5py.Dataset` reads one of a sealed file.

    Attributes:
        shape: (samples, ...).
        dtype: type of the values.
        ndim: number of axes.
        size: number of values.
        chunks: chunks of the first original's dataset; None without.
        attrs: attributes as of a dataset in a sealed file.
    """

    def __init__(self, path: Path, name: str, originals: Sequence[Original], stored: h5py.Dataset) -> None:
        """Takes over what the file has of the array; `stored` are the checksums of its blocks.

        Raises:
            ValueError: the facts do not belong together.
        """
        self._where, self._originals, self._stored = f"{path}: {name}", originals, stored
        self.shape = tuple(int(length) for length in stored.attrs["shape"])
        self.dtype = np.dtype(_text(stored.attrs["dtype"]))
        if self.dtype.kind not in NUMBERS or min(self.shape) < 1:
            raise ValueError(f"an array of type {self.dtype} and shape {self.shape}")
        self.ndim, self.size = len(self.shape), int(np.prod(self.shape))
        self.chunks = tuple(map(int, stored.attrs["chunks"])) if "chunks" in stored.attrs else None
        self.attrs: Mapping[str, Any] = {key: stored.attrs[key] for key in DELIVERED if key in stored.attrs}
        self._rows = OriginalRows(originals, _text(stored.attrs["dataset"]), self.shape, self.dtype)
        self._block = rows_per_chunk(self.shape, self.dtype)
        rows, blocks = sum(each.rows for each in originals), -(-self.shape[0] // self._block)
        if rows != self.shape[0] or stored.shape != (blocks,):
            raise ValueError(f"{rows} rows of {self.shape[0]}, {stored.shape} checksums of {blocks}")
        self._checksums: NDArray[np.uint32] | None = None
        self._last: tuple[int, NDArray[Any]] | None = None

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: slice | tuple[()]) -> NDArray[Any]:
        """Returns rows, from whole blocks that match their checksums.

        Raises:
            InputError: an original is missing or changed; the message names it.
        """
        start, stop, _ = (slice(None) if isinstance(rows, tuple) else rows).indices(len(self))
        found = np.empty((max(stop - start, 0), *self.shape[1:]), self.dtype)
        at = start
        while at < stop:
            number, offset = divmod(at, self._block)
            block = self._verified(number)[offset : offset + stop - at]
            found[at - start : at - start + len(block)] = block
            at += len(block)
        return found

    def _verified(self, number: int) -> NDArray[Any]:
        """Returns a block; neighbouring reads of a few rows read it once."""
        last = self._last
        if last is not None and last[0] == number:
            return last[1]
        if self._checksums is None:
            self._checksums = self._stored[()]
        start = number * self._block
        stop = min(start + self._block, len(self))
        block = self._rows.read(start, stop)
        if checksum_of(block) != self._checksums[number]:
            text = f"samples {start} to {stop - 1} do not match their checksum"
            files = [str(path) for path, *_ in self._rows.parts(start, stop)]
            which = files[0] if len(files) == 1 else f"one of {', '.join(files)}"
            raise InputError([Problem(self._where, f"{text}: {which} was changed after it was adopted; {REMEDY}")])
        self._last = number, block
        return block

    def close(self) -> None:
        """Closes the originals."""
        self._rows.close()

    def problems(self) -> list[Problem]:
        """Returns the originals that are missing or have another size."""
        return [problem for each in self._originals if (problem := each.problem()) is not None]

    def recorded_summary(self) -> ValueSummary | None:
        """Returns the summary of all values from the adoption; None if values may have changed since.

        Raises:
            InputError: the file is damaged.
        """
        if self._stored.attrs["elsewhere"] or not all(each.is_untouched for each in self._originals):
            return None
        with _naming_nonsense(self._where):
            stored = json.loads(_text(self._stored.attrs["summary"]))
            place = f"{SPREADS}/{self._stored.name.rsplit('/', 1)[1]}"
            summary = self._summary(stored, place)
            summary.declared = declared(self.attrs)
            summary.known = {each: self._summary(stored[_KNOWN], f"{place}/{_KNOWN}") for each in summary.declared}
            return summary

    def _summary(self, stored: Mapping[str, Any], place: str) -> ValueSummary:
        """Returns a summary from its extremes and the group of its spread."""
        found: dict[str, Any] = {
            key: None if stored[key] is None else (int(stored[key][0]), stored[key][1]) for key in _EXTREMES
        }
        found |= {key: None if (sample := stored.get(key)) is None else int(sample) for key in _SAMPLES}
        group = self._stored.file.get(place)
        return ValueSummary(
            dtype=self.dtype,
            shape=self.shape[1:],
            scale=float(self.attrs.get("scale", 1.0)),
            spread=None if group is None or "low" not in group else self._spread(group),
            **found,
        )

    def _spread(self, stored: h5py.Group) -> Spread:
        shape = stored["low"].shape if stored["low"].shape == (1,) else self.shape[1:]
        low, high, rounded = (stored[key][()].reshape(shape) for key in ("low", "high", "rounded"))
        return low, high, rounded > 0


def summary_text(summary: ValueSummary) -> str:
    """Returns the extremes of a summary as JSON, as an adopted file has them."""
    found = _extremes(summary)
    for known in summary.known.values():
        found[_KNOWN] = _extremes(known)
    return json.dumps(found)


def _extremes(summary: ValueSummary) -> dict[str, Any]:
    return {key: getattr(summary, key) for key in (*_EXTREMES, *_SAMPLES)}


def spreads_of(summary: ValueSummary, place: str) -> Iterator[tuple[str, Spread]]:
    """Yields the spreads of a summary, each with the group in which an adopted file has it."""
    for where, each in ((place, summary), *((f"{place}/{_KNOWN}", known) for known in summary.known.values())):
        if each.spread is not None:
            yield where, each.spread


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


def adopted_names(file: h5py.File) -> list[str]:
    """Returns the names of the arrays in an adopted file."""
    return list(file[ARRAYS])


def originals_in(file: h5py.File, path: Path) -> list[Original]:
    """Returns the originals of an adopted file; relative paths are relative to its folder."""
    with naming_damage(path, ORIGINALS):
        group = file[ORIGINALS]
        facts = zip(group["path"][()], group["size"][()], group["modified"][()], group["rows"][()], strict=True)
        return [
            Original(path=path.parent / os.fsdecode(name), size=int(size), modified=int(modified), rows=int(rows))
            for name, size, modified, rows in facts
        ]


@contextmanager
def _naming_nonsense(where: str) -> Iterator[None]:
    """Converts exceptions that values of a wrong kind raise to an error that names file and array."""
    try:
        yield
    except (ValueError, TypeError, AttributeError, KeyError) as error:
        message = f"cannot be read, the file is damaged; adopt its files again ({error})"
        raise InputError([Problem(where, message)]) from error


def adopted_array(file: h5py.File, path: Path, name: str) -> AdoptedArray:
    """Returns an array of an adopted file.

    Raises:
        InputError: there is no such array, or the file is damaged.
    """
    with _naming_nonsense(f"{path}: {name}"), naming_damage(path, name):
        known = adopted_names(file)
        if name in known:
            return AdoptedArray(path, name, originals_in(file, path), file[ARRAYS][name])
    raise InputError([Problem(f"{path}: {name}", f"there is no such dataset{nearest(name, known)}")])
