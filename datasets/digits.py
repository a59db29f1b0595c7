"""Builds data/digits.h5 from the 1,797 small digits of scikit-learn, for fast tests.

Usage: python datasets/digits.py [--out FILE], or python -m datasets.digits in the checkout
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import numpy as np

from hpcmtl.data.hdf5 import write_dataset_file
from hpcmtl.data.split import split_by_hash

if __package__:  # python -m datasets.digits
    from datasets.builder import main
else:
    from builder import main

if TYPE_CHECKING:
    from pathlib import Path

SEED = 1797


def build(out: Path) -> None:
    """Writes images, digit and parity; about 70 % train, 10 % validation and 20 % test, stratified by class."""
    from sklearn.datasets import load_digits

    source = load_digits()
    digit = source.target.astype(np.int64)
    write_dataset_file(
        out,
        {"images": source.images[:, np.newaxis].astype(np.uint8), "digit": digit, "parity": digit % 2},
        split_by_hash(len(digit), [0.7, 0.1, 0.2], SEED, stratify=digit),
        {
            "images": {"scale": 1 / 16, "units": "fraction of the pixel's 4 x 4 cells with ink"},
            "digit": {"classes": range(10)},
            "parity": {"classes": ["even", "odd"]},
        },
        {
            "source": "Alpaydin, Kaynak: Optical Recognition of Handwritten Digits (UCI), test part, from scikit-learn",
            "licence": "CC BY 4.0",
        },
    )


if __name__ == "__main__":
    sys.exit(main("digits", build, "scikit-learn"))
