"""Splits of the rows of a table, as functions of row numbers, strata, groups or times; all are pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from hpcmtl.data.keys import random_keys

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hpcmtl.data.sealing.rules import SplitRule

SplitCodes = NDArray[np.uint8]
"""Split of each row: 0 train, 1 val, 2 test."""
SPLIT_NAMES = {
    "train": 0,
    "training": 0,
    "0": 0,
    "val": 1,
    "valid": 1,
    "validation": 1,
    "dev": 1,
    "1": 1,
    "test": 2,
    "testing": 2,
    "2": 2,
}
"""Names of splits in a column of a table, in lower case."""


def fold_codes(start: int, stop: int, rule: SplitRule) -> SplitCodes:
    """Returns the split of the rows from `start` to `stop` by folds: each row is in one fold, by hash."""
    folds = random_keys(np.arange(start, stop), rule.seed) % np.uint64(rule.folds)
    codes = np.zeros(stop - start, np.uint8)
    codes[folds == rule.fold] = 2
    if rule.val_fold is not None:
        codes[folds == rule.val_fold] = 1
    return codes


def grouped_codes(groups: NDArray[np.integer[Any]], fractions: Sequence[float], seed: int) -> SplitCodes:
    """Returns a split in which no group is on both sides.

    The groups are shuffled and laid side by side; each goes where the middle of its rows lies. The shares of rows
    differ from the fractions by at most the rows of the largest group.

    Args:
        groups: (rows,) number of the group of each row, from 0.
        fractions: shares of train, val and test.
        seed: seed of the shuffle.
    """
    sizes = np.bincount(groups)
    order = np.argsort(random_keys(np.arange(len(sizes)), seed), kind="stable")
    ends = np.cumsum(sizes[order])
    middles = (ends - sizes[order] / 2) / max(len(groups), 1)
    of_group = np.empty(len(sizes), np.uint8)
    of_group[order] = np.searchsorted(np.cumsum(fractions[:2]), middles, side="right")
    codes: SplitCodes = of_group[groups]
    return codes


def time_codes(times: NDArray[Any], fractions: Sequence[float]) -> SplitCodes:
    """Returns a split by time: the earliest rows train, the latest test; rows of one time are in one split."""
    ordered = np.sort(times)
    codes = np.zeros(len(times), np.uint8)
    for code, share in enumerate(np.cumsum(fractions[:2]), start=1):
        cut = round(float(share) * len(times))
        if cut < len(times):
            codes[times >= ordered[cut]] = code
    return codes
