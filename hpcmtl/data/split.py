"""Assignment of samples to training, validation and test: computed once, by a hash, and stored in the file."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from hpcmtl.data.keys import random_keys
from hpcmtl.errors import InputError, Problem

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from hpcmtl.arrays import Ints

SPLIT_CODES = {"train": 0, "val": 1, "test": 2}


def split_sizes(codes: NDArray[np.uint8]) -> dict[str, int]:
    """Returns the number of samples in train, val and test, by name, from the code of each sample."""
    return {name: int(np.count_nonzero(codes == code)) for name, code in SPLIT_CODES.items()}


def split_by_hash(
    samples: int, fractions: Sequence[float], seed: int, stratify: NDArray[np.generic] | None = None
) -> NDArray[np.uint8]:
    """Assigns every sample to train (0), val (1) or test (2).

    Args:
        samples: number of samples.
        fractions: fractions of train, val and test; their sum is 1.
        seed: seed of the hash; another seed gives another split.
        stratify: (samples,) class of every sample. With it each class is divided in exactly these proportions (largest
            remainder). Without it each sample is drawn independently: the counts are only close to the fractions, but
            samples appended later never move an earlier sample to another split.

    Returns:
        (samples,) codes as stored in the dataset ``split``.

    Raises:
        InputError: the fractions are not three numbers with sum 1, or the classes have another length.
    """
    problems = _problems(samples, fractions, stratify)
    if problems:
        raise InputError(problems)
    if stratify is None:
        return hash_codes(0, samples, fractions, seed)
    keys = random_keys(np.arange(samples), seed)
    split = np.empty(samples, dtype=np.uint8)
    for label in np.unique(stratify):
        members = np.flatnonzero(stratify == label)
        shuffled = members[np.argsort(keys[members], kind="stable")]
        split[shuffled] = np.repeat(np.arange(3, dtype=np.uint8), _exact_counts(len(members), fractions))
    return split


def hash_codes(start: int, stop: int, fractions: Sequence[float], seed: int) -> NDArray[np.uint8]:
    """Returns the split of the samples from `start` to `stop`, as `split_by_hash` does without classes."""
    keys = random_keys(np.arange(start, stop), seed)
    # Compared as floats in [0, 1): the last fraction takes the rounding error.
    return np.searchsorted(np.cumsum(fractions[:2]), keys / 2.0**64, side="right").astype(np.uint8)


def _problems(samples: int, fractions: Sequence[float], stratify: NDArray[np.generic] | None) -> list[Problem]:
    problems = []
    if len(fractions) != 3 or min(fractions) < 0 or not math.isclose(sum(fractions), 1.0, abs_tol=1e-9):
        message = (
            f"found {list(fractions)}; write the shares of train, val and test: three numbers from 0 to 1 whose sum is "
            "1, e.g. [0.8, 0.1, 0.1]"
        )
        problems.append(Problem("split fractions", message))
    if stratify is not None and stratify.shape != (samples,):
        message = f"shape {stratify.shape} for {samples} samples; give one class for each sample"
        problems.append(Problem("split stratify", message))
    return problems


def _exact_counts(members: int, fractions: Sequence[float]) -> Ints:
    """Divides `members` by largest remainder, so that the sum of the counts is `members`."""
    # Rounded, so that equal remainders are equal: the earlier fraction then gets the sample, independent of
    # floating-point error.
    exact = np.round(np.asarray(fractions) * members, 9)
    counts: Ints = np.floor(exact).astype(np.int64)
    largest = np.argsort(counts - exact, kind="stable")[: members - int(counts.sum())]
    counts[largest] += 1
    return counts
