"""Builds data/yeast.h5 from the 2,417 genes of the multi-label data set yeast, in the package river.

The inputs are 103 numbers of a gene of yeast (micro-array expressions and a phylogenetic profile). The targets are 14
functional classes, of which a gene has four on average: as one array `labels` (2,417 x 14) for one network with the
loss `sigmoid_bce`, and as 14 targets `Class1` to `Class14` for a family of binary tasks.

Usage: python datasets/yeast.py [--out FILE], or python -m datasets.yeast in the checkout
"""

from __future__ import annotations

import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from hpcmtl.data import seal

if __package__:  # python -m datasets.yeast
    from datasets.builder import main
else:
    from builder import main

FEATURES = [f"Att{number}" for number in range(1, 104)]
CLASSES = [f"Class{number}" for number in range(1, 15)]
SEED = 2417


def source_file() -> Path:
    """Returns the table inside the package, which is not imported: it needs NumPy 2, and MXNet needs NumPy 1.

    Raises:
        ModuleNotFoundError: the package is not installed, or holds no such table.
    """
    spec = find_spec("river")
    for folder in (spec.submodule_search_locations or []) if spec is not None else []:
        if (file := Path(folder) / "datasets" / "yeast.csv.gz").is_file():
            return file
    raise ModuleNotFoundError("no folder of the package river has datasets/yeast.csv.gz")


def build(out: Path) -> None:
    """Writes inputs, labels and each label; 80 % train, 10 % val, 10 % test, stratified by the rarest label."""
    table = np.loadtxt(source_file(), delimiter=",", skiprows=1)
    features, labels = table[:, : len(FEATURES)], table[:, len(FEATURES) :]
    side_by_side = [f"has_{name}" for name in CLASSES]
    seal(
        out,
        {
            **dict(zip(FEATURES, features.T, strict=True)),
            **dict(zip(side_by_side, labels.T, strict=True)),
            **{name: np.where(label, "yes", "no") for name, label in zip(CLASSES, labels.T, strict=True)},
        },
        {
            "columns": {
                **{name: {"kind": "numeric", "dataset": "inputs", "standardise": True} for name in FEATURES},
                **{name: {"kind": "numeric", "dataset": "labels", "standardise": False} for name in side_by_side},
                **{name: {"kind": "categorical", "classes": ["no", "yes"]} for name in CLASSES},
            },
            "targets": CLASSES,
            "split": {"by": "stratified", "column": "Class14", "seed": SEED},
            "attributes": {
                "source": "yeast (Elisseeff and Weston, 2002), in the form of MULAN, from the package river",
                "licence": "BSD-3-Clause (the package river); the authors of the data state none",
            },
        },
    )


if __name__ == "__main__":
    sys.exit(main("yeast", build, "river", "pip install --no-deps"))
