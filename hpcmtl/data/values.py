"""The one pass that reads every value: what is unfit is refused, and what was seen is summarised for later checks."""

from __future__ import annotations

import logging
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from hpcmtl.data.adopted_array import AdoptedArray
from hpcmtl.data.array_writer import checksum_of
from hpcmtl.data.chunks import chunk_warning
from hpcmtl.data.contract import SPLIT, value_problem
from hpcmtl.data.hdf5 import class_names, file_version
from hpcmtl.data.missing import declared
from hpcmtl.data.open_file import naming_damage, open_sealed
from hpcmtl.data.ragged_dataset import RaggedDataset
from hpcmtl.data.stored_array import find_array, value_blocks
from hpcmtl.data.value_summary import ValueSummary, empty_summary
from hpcmtl.errors import InputError, Problem

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Collection, Iterable, Mapping

    from hpcmtl.data.stored_array import Found
    from hpcmtl.networks.objective import Missing

_log = logging.getLogger(__name__)
_NONE_MISSING: Mapping[str, Collection[Missing]] = MappingProxyType({})


def check_finite(path: str | os.PathLike[str], names: Iterable[str]) -> dict[str, ValueSummary]:
    """Reads every value of the named datasets once, block by block, and refuses data unfit for training.

    Returns:
        Name -> summary of the values.

    Raises:
        InputError: NaN, Inf, labels outside the named classes, values that do not match the stored checksum, unreadable
            chunks; one problem per dataset.
    """
    return _passed(path, names, fit=True)


def check_intact(path: str | os.PathLike[str], names: Iterable[str]) -> dict[str, ValueSummary]:
    """Reads every value as `check_finite` does, but refuses damage alone: python tasks may publish any value."""
    return _passed(path, names, fit=False)


def summary_of(path: Path, name: str, missing: Iterable[Missing] = ()) -> ValueSummary:
    """Returns the summary of one dataset; a file that has not changed since is not read again."""
    return _summary(path, name, frozenset(missing), file_version(path))


@lru_cache(maxsize=64)
def _summary(path: Path, name: str, missing: frozenset[Missing], version: tuple[int, ...]) -> ValueSummary:  # noqa: ARG001 - a part of the key
    return _passed(path, [name], fit=False, missing={name: missing})[name]


def _passed(
    path: str | os.PathLike[str],
    names: Iterable[str],
    *,
    fit: bool,
    missing: Mapping[str, Collection[Missing]] = _NONE_MISSING,
) -> dict[str, ValueSummary]:
    summaries, problems = pass_over(path, names, fit=fit, missing=missing)
    if problems:
        raise InputError(problems)
    return summaries


def _nothing(size: int) -> None:
    """Takes the size of a block, of which nothing is told."""


def pass_over(
    path: str | os.PathLike[str],
    names: Iterable[str],
    *,
    fit: bool = True,
    missing: Mapping[str, Collection[Missing]] = _NONE_MISSING,
    recorded: bool = True,
    after_block: Callable[[int], None] = _nothing,
) -> tuple[dict[str, ValueSummary], list[Problem]]:
    """Reads every value as `check_finite` does; returns the summaries of sound datasets, and the others' problems.

    Args:
        path: the file.
        names: the datasets.
        fit: true to refuse values that are unfit for training.
        missing: name of a dataset -> numbers that tasks take for missing values; they are fit.
        recorded: true to take what was seen when files were adopted, while these have not been touched since.
        after_block: callback with the number of bytes of each block that was read.

    Raises:
        InputError: the file cannot be opened.
    """
    path, problems = Path(path), list[Problem]()
    summaries: dict[str, ValueSummary] = {}
    with open_sealed(path) as file:
        for name in names:
            try:
                dataset = find_array(file, path, name)
                with naming_damage(path, name, dataset):
                    summary, wrong = (_recorded(dataset, missing.get(name, ())) if recorded else None), None
                    if summary is None:
                        summary = _empty_summary(dataset, missing.get(name, ()))
                        wrong = _read(path, name, dataset, summary, fit=fit, after_block=after_block)
            except InputError as error:  # every dataset reports its problems; originals are those of all
                problems += [each for each in error.problems if each not in problems]
            else:
                problems += [Problem(f"{path}: {name}", wrong)] if wrong else []
                summaries |= {} if wrong else {name: summary}
    return summaries, problems


def _recorded(dataset: Found, missing: Collection[Missing]) -> ValueSummary | None:
    """Returns what is known of values that were adopted; None if they must be read."""
    if not isinstance(dataset, AdoptedArray):
        return None
    problems = dataset.problems()
    if problems:
        raise InputError(problems)
    return dataset.recorded_summary() if declared(dataset.attrs).issuperset(missing) else None


def _empty_summary(dataset: Found, missing: Collection[Missing]) -> ValueSummary:
    scale, of_file = float(dataset.attrs.get("scale", 1.0)), declared(dataset.attrs)
    value = dataset.shape[2:] if isinstance(dataset, RaggedDataset) else dataset.shape[1:]
    summary = empty_summary(dataset.dtype, value, of_file | set(missing), scale)
    summary.declared = of_file
    return summary


def _read(
    path: Path,
    name: str,
    dataset: Found,
    summary: ValueSummary,
    *,
    fit: bool,
    after_block: Callable[[int], None],
) -> str | None:
    """Reads a dataset into its summary; returns what is wrong with its values."""
    _warn_of_chunks(path, name, dataset)
    missing, classes, checksum = set(summary.known), len(class_names(dataset) or ()), 0
    for block, samples in value_blocks(dataset):
        wrong = value_problem(block, samples, classes, missing) if fit else None
        if wrong:
            return wrong
        checksum = checksum_of(block, checksum)
        if name != SPLIT:
            summary.add_of(block, samples)
        after_block(block.nbytes)
    if isinstance(dataset, RaggedDataset):
        checksum = checksum_of(dataset.lengths, checksum)
    stored = dataset.attrs.get("checksum")
    if stored is None:
        return "has no checksum, so a change of its values cannot be noticed; write it by write_dataset_file"
    if checksum != stored:
        return "values do not match their checksum: changed after the file was sealed; make or copy it again"
    return None


def _warn_of_chunks(path: Path, name: str, dataset: Found) -> None:
    """Warns of chunks that HDF5 reads and unpacks again and again, since they do not fit into its cache."""
    warning = chunk_warning(dataset)
    if warning:
        adopted = isinstance(dataset, AdoptedArray)
        remedy = "rewrite its files by h5repack" if adopted else "write the file by write_dataset_file"
        _log.warning("%s: %s: %s; %s, in chunks of 1 MiB", path, name, warning, remedy)
