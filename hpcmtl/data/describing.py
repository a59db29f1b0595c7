"""Shows the content of a sealed file to people: splits, types, ranges, counts of classes and first samples."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hpcmtl.data.adopted_array import originals_in
from hpcmtl.data.contract import SPLIT
from hpcmtl.data.hdf5 import class_names, describe, read_split
from hpcmtl.data.missing import declared, is_known
from hpcmtl.data.open_file import naming_damage, open_sealed
from hpcmtl.data.ragged_dataset import RaggedDataset
from hpcmtl.data.sealing.told import one_line
from hpcmtl.data.sealing.vocabulary import PADDING
from hpcmtl.data.split import SPLIT_CODES
from hpcmtl.data.stored_array import find_array, is_adopted, value_blocks
from hpcmtl.data.text import own_dtype, own_form
from hpcmtl.data.values import pass_over
from hpcmtl.errors import InputError, Problem

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from hpcmtl.data.stages import StageReport
    from hpcmtl.data.stored_array import Found

SAMPLES = 8
"""First samples that are shown."""
MASK = "_mask"


@dataclass(frozen=True, kw_only=True)
class ArrayReport:
    """Describes one dataset with what its values show.

    Attributes:
        name: name in the file.
        shape: shape of one sample.
        ragged: whether samples differ in length; the first number of `shape` is then that of the longest.
        dtype: type of the stored values.
        delivered: type that networks get.
        chunk: samples in a chunk; None for a dataset without chunks.
        bytes: size of all values.
        units: unit of the values, if the file says it.
        low, high: extremes of finite values, as stored; None without one.
        not_finite: number of NaN and Inf.
        missing: number of samples that a dataset NAME_mask calls missing, or of values that the attribute `missing`
            names; None with neither of them.
        class_number: number of class names.
        classes: the first class names.
        class_counts: split -> class -> number of values.
        first: first samples, in words.
        pictures: first samples as (channels, height, width), if they are images.
    """

    name: str
    shape: tuple[int, ...]
    ragged: bool
    dtype: str
    delivered: str
    chunk: int | None
    bytes: int
    units: str | None
    low: float | None
    high: float | None
    not_finite: int
    missing: int | None
    class_number: int
    classes: tuple[str, ...]
    class_counts: Mapping[str, Mapping[str, int]]
    first: tuple[str, ...]
    pictures: tuple[NDArray[np.uint8], ...] = field(default=(), repr=False)


@dataclass(frozen=True, kw_only=True)
class FileReport:
    """Describes a sealed file: samples in each split, attributes, and datasets."""

    path: Path
    samples: int
    splits: Mapping[str, int]
    attributes: Mapping[str, str]
    arrays: tuple[ArrayReport, ...]


def describe_file(path: str | os.PathLike[str], report: StageReport) -> FileReport:
    """Reads all values of a sealed file once, block by block.

    Raises:
        InputError: the file cannot be read.
    """
    path = Path(path)
    description = describe(path)
    split, arrays = read_split(path), []
    with open_sealed(path) as file:
        with naming_damage(path, "its attributes"):
            own = {"hpcmtl_format", "sealed"}
            attributes = {key: str(value) for key, value in file.attrs.items() if key not in own}
            if is_adopted(file):
                attributes["originals"] = ", ".join(str(each.path) for each in originals_in(file, path))
        for place, (name, each) in enumerate(description.datasets.items()):
            dataset = find_array(file, path, name)
            with naming_damage(path, name, dataset):
                masked = find_array(file, path, name + MASK) if name + MASK in description.datasets else None
                missing = None if masked is None else int(np.count_nonzero(masked[()] == 0))
                arrays.append(_array_report(name, dataset, str(each.dtype), split, missing))
            report("reading", (place + 1) / len(description.datasets))
    return FileReport(
        path=path,
        samples=description.samples,
        splits=description.split_sizes,
        attributes=attributes,
        arrays=tuple(arrays),
    )


@dataclass(frozen=True, kw_only=True)
class _Pass:
    """Holds what a pass over the values of a dataset shows; the range is that of the known ones."""

    low: float | None
    high: float | None
    not_finite: int
    missing: int
    counts: NDArray[np.int64]


def _passed(dataset: Found, split: NDArray[np.uint8], classes: int) -> _Pass:
    counts, numbers = np.zeros((len(SPLIT_CODES), classes), np.int64), declared(dataset.attrs)
    low, high, not_finite, missing = np.inf, -np.inf, 0, 0
    for block, samples in value_blocks(dataset) if dataset.dtype.kind in "iuf" else ():
        known = np.logical_and.reduce([np.ones(block.shape, np.bool_), *(is_known(block, each) for each in numbers)])
        finite = block[np.isfinite(block) & known]
        missing += block.size - int(known.sum())
        not_finite += int(known.sum()) - finite.size
        if finite.size:
            low, high = min(low, finite.min().item()), max(high, finite.max().item())
        if classes and block.dtype.kind in "iu":
            codes = np.repeat(split[samples].astype(np.int64), math.prod(block.shape[1:]))
            flat = block.reshape(-1).astype(np.int64)
            valid = (flat >= 0) & (flat < classes)
            counts += np.bincount((codes * classes + flat)[valid], minlength=counts.size).reshape(counts.shape)
    some = low <= high
    return _Pass(
        low=low if some else None, high=high if some else None, not_finite=not_finite, missing=missing, counts=counts
    )


def _array_report(
    name: str, dataset: Found, delivered: str, split: NDArray[np.uint8], missing: int | None
) -> ArrayReport:
    classes = class_names(dataset) or ()
    found = _passed(dataset, split, len(classes))
    units = dataset.attrs.get("units")
    rows = dataset[: min(SAMPLES, len(dataset))] if dataset.size else dataset[()]
    return ArrayReport(
        name=name,
        shape=tuple(dataset.shape[1:]),
        ragged=isinstance(dataset, RaggedDataset),
        dtype=str(own_dtype(dataset.dtype, dataset.attrs)),
        delivered=delivered,
        chunk=None if dataset.chunks is None else int(dataset.chunks[0]),
        bytes=dataset.size * dataset.dtype.itemsize,
        units=None if units is None else str(units),
        low=found.low,
        high=found.high,
        not_finite=found.not_finite,
        missing=found.missing if missing is None and declared(dataset.attrs) else missing,
        class_number=len(classes),
        classes=classes[:100],
        class_counts=_counts_by_name(found.counts, classes),
        first=_first_samples(rows, dataset, classes),
        pictures=_pictures(rows),
    )


def _counts_by_name(counts: NDArray[Any], classes: Sequence[str]) -> dict[str, dict[str, int]]:
    if not classes:
        return {}
    shown = range(min(len(classes), 100))
    return {name: {classes[place]: int(counts[code, place]) for place in shown} for name, code in SPLIT_CODES.items()}


def _first_samples(rows: NDArray[Any], dataset: Found, classes: Sequence[str]) -> tuple[str, ...]:
    """Returns samples in words: tokens as text, labels by their class, short arrays by their values."""
    if isinstance(dataset, RaggedDataset):
        each = zip(rows[:, None], dataset.lengths, strict=False)
        return tuple(text for row, length in each for text in _in_words(row[:, :length], dataset, classes) or ("",))
    return _in_words(rows, dataset, classes)


def _in_words(rows: NDArray[Any], dataset: Found, classes: Sequence[str]) -> tuple[str, ...]:
    if not rows.size:
        return ()
    if dataset.dtype.kind == "S":
        return tuple(
            repr(str(each))
            for each in own_form(rows, own_dtype(dataset.dtype, dataset.attrs)).reshape(len(rows), -1)[:, 0]
        )
    between = {"words": " ", "characters": ""}.get(str(dataset.attrs.get("tokens")), ", ")
    if classes and rows.dtype.kind in "iu" and rows.min() >= 0 and rows.max() < len(classes):
        named = [[classes[code] for code in row.reshape(-1)] for row in rows]
        return tuple(_cut(between.join(word for word in row if word != PADDING)) for row in named)
    with np.printoptions(precision=4, threshold=12, edgeitems=3, linewidth=10_000):
        return tuple(_cut(" ".join(str(row).split())) for row in rows)


def _cut(text: str) -> str:
    return text if len(text) <= 100 else f"{text[:97]}..."


def _pictures(rows: NDArray[Any]) -> tuple[NDArray[np.uint8], ...]:
    """Returns images as grey or coloured bytes; none for other shapes."""
    if rows.ndim != 4 or rows.shape[1] not in {1, 3} or min(rows.shape[2:]) < 4 or rows.dtype.kind not in "iuf":
        return ()
    numbers = np.nan_to_num(rows.astype(np.float64))
    low, high = (0.0, 255.0) if rows.dtype == np.uint8 and numbers.max() > 64 else (numbers.min(), numbers.max())
    return tuple(((numbers - low) / ((high - low) or 1.0) * 255).astype(np.uint8))


def report_lines(found: FileReport) -> list[str]:
    """Returns a report as lines of text."""
    sizes = ", ".join(f"{count} {name}" for name, count in found.splits.items())
    lines = [f"{found.path}: {found.samples} samples: {sizes}"]
    lines += [f"  {key}: {_cut(value)}" for key, value in found.attributes.items()]
    for each in found.arrays:
        lines.append(f"{each.name}: {_facts(each)}")
        for split, counts in each.class_counts.items():
            total = sum(int(count) for count in counts.values())
            if len(counts) <= 20 and total:
                lines.append(f"  {split}: {', '.join(f'{name} {count}' for name, count in counts.items())}")
        lines += [f"  first: {' | '.join(each.first[:3])}"] if each.first else []
    return [one_line(line) for line in lines]


def _facts(each: ArrayReport) -> str:
    delivered = "" if each.delivered == each.dtype else f" (networks get {each.delivered})"
    chunk = "no chunks" if each.chunk is None else f"{each.chunk} a chunk"
    of = f" of shape {each.shape[1:]}" if each.shape[1:] else ""
    shape = f"sequences of up to {each.shape[0]} values{of}" if each.ragged else f"shape {each.shape}"
    facts = [f"{each.dtype}{delivered}", shape, chunk, f"{each.bytes / 2**20:.1f} MiB"]
    facts += [] if each.low is None else [f"{each.low:.6g} to {each.high:.6g}"]
    facts += [f"{each.class_number} classes"] if each.classes else []
    facts += [] if each.units is None else [each.units]
    facts += [] if each.missing is None else [f"{each.missing} missing"]
    facts += [f"{each.not_finite} NaN or Inf"] if each.not_finite else []
    return ", ".join(facts)


def check_file(path: str | os.PathLike[str], report: StageReport) -> tuple[int, list[Problem]]:
    """Compares all values of a file with their checksums; returns the number of arrays, and what is damaged.

    Raises:
        InputError: there is no such file.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError([Problem(str(path), "is not a file" if path.exists() else "does not exist")])
    try:
        description = describe(path)
    except InputError as error:
        return 0, [*error.problems]
    total, read = max(sum(each.bytes for each in description.datasets.values()) + description.samples, 1), 0

    def after_block(size: int) -> None:
        nonlocal read
        read += size
        report("checking", min(read / total, 1.0))

    names = [*description.datasets, SPLIT]
    return len(names), pass_over(path, names, fit=False, recorded=False, after_block=after_block)[1]
