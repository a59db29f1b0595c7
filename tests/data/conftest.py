"""Data files of this room's tests: small, but of several chunks, so that blocks and windows are real."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from hpcmtl.data.hdf5 import write_dataset_file

if TYPE_CHECKING:
    from pathlib import Path

SAMPLES = 75
# 256 KiB a sample: four in a chunk, 19 blocks, two windows.
SAMPLE_SHAPE = (64, 1024)


def write_wide_file(path: Path) -> Path:
    """Write 75 samples whose every value is their number, with a label and a weight; all but each fifth train."""
    numbers = np.arange(SAMPLES)
    split = np.where(numbers % 5 == 4, np.where(numbers % 2, 1, 2), 0)
    write_dataset_file(
        path,
        {
            "wide": np.broadcast_to(numbers.astype(np.float32)[:, None, None], (SAMPLES, *SAMPLE_SHAPE)),
            "label": numbers % 3,
            "weight": numbers / 10,
        },
        split,
        {"label": {"classes": ["a", "b", "c"]}},
        {"licence": "none"},
    )
    return path


@pytest.fixture(scope="session")
def wide_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A good file; not to be changed."""
    return write_wide_file(tmp_path_factory.mktemp("data") / "wide.h5")


@pytest.fixture
def own_file(tmp_path: Path) -> Path:
    """A good file for a test to damage."""
    return write_wide_file(tmp_path / "own.h5")
