"""Estimates of the rows and bytes that a task reads, for arrays of which not all is known beforehand."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from hpcmtl.jobfile.arrays import UNKNOWN
from hpcmtl.jobfile.tasks import SPLITS
from hpcmtl.networks.description import size_of
from hpcmtl.networks.shapes import NetworkSize

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from hpcmtl.jobfile.arrays import ArraySpec
    from hpcmtl.networks.description import NetworkDescription
    from hpcmtl.networks.shapes import InputShapes

# Assumed of an array that only running its task describes, when the job has no described array to go by. Too much is
# better than too little: a task that is thought too small is starved of ranks.
GUESSED_SAMPLES = 10_000
GUESSED_SAMPLE_BYTES = 4096


def input_size(references: Iterable[str], arrays: Mapping[str, ArraySpec], split: str | None = None) -> tuple[int, int]:
    """Returns the rows that a task reads, and the bytes of one row over all its arrays.

    An array that is not described counts as the largest described one (rows and bytes of a row each by itself), or as
    the guesses of this module if there is none.

    Args:
        references: arrays that the task reads.
        arrays: known arrays by reference.
        split: name of the split whose rows are read; None for all rows.
    """
    read = [arrays.get(reference, UNKNOWN) for reference in sorted(set(references))]
    rows = max((_rows(array, split, arrays) for array in read), default=1)
    return rows, sum(_sample_bytes(array, arrays) for array in read)


def network_size(network: NetworkDescription, samples: InputShapes | None) -> NetworkSize:
    """Returns the size of a network on samples of some shapes; zeros where these are not known."""
    return NetworkSize(0, 0) if samples is None else size_of(network, samples)


def _rows(array: ArraySpec, split: str | None, arrays: Mapping[str, ArraySpec]) -> int:
    if array.split is not None and split is not None:
        return array.split[SPLITS.index(split)]
    if array.samples is not None:
        return array.samples
    return max((known.samples for known in arrays.values() if known.samples is not None), default=GUESSED_SAMPLES)


def _sample_bytes(array: ArraySpec, arrays: Mapping[str, ArraySpec]) -> int:
    if array.shape is not None:
        return math.prod(array.shape) * array.itemsize
    known = (math.prod(other.shape) * other.itemsize for other in arrays.values() if other.shape is not None)
    return max(known, default=GUESSED_SAMPLE_BYTES)
