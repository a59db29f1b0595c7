"""Plain HDF5 files, as programs of other people write them, and their adoption."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import h5py
import numpy as np

from hpcmtl.data.adopting.adopt import adopt

if TYPE_CHECKING:
    from pathlib import Path

ROWS = 600


def plain_arrays(rows: int = ROWS) -> dict[str, Any]:
    """Inputs of several blocks, targets of class numbers, and doubles."""
    rng = np.random.default_rng(rows)
    return {
        "x": rng.normal(size=(rows, 32, 64)).astype(np.float32),
        "y": rng.integers(0, 3, rows),
        "z": rng.normal(size=(rows, 2)) * 1e6,
    }


def write_plain(path: Path, arrays: Any, **options: Any) -> Path:
    """Writes a file as h5py does by itself, without anything of hpcmtl's."""
    with h5py.File(path, "w") as file:
        for name, array in arrays.items():
            file.create_dataset(name, data=array, **options)
    return path


def adopted(out: Path, files: Any, names: str = "x,y,z", missing: Any = None, **recipe: Any) -> Path:
    """Adopts files and returns the file that was made."""
    adopt(out, files, [names], recipe, missing=missing, overwrite=True)
    return out
