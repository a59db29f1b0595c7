"""Ranks adopt a file together, and make the file that one process makes."""

from __future__ import annotations

import sys

import h5py
import numpy as np
import pytest
from plain_files import adopted, plain_arrays, write_plain

HPCMTL = [sys.executable, "-m", "hpcmtl", "data", "adopt"]


def content(path):
    """Returns all datasets and attributes of a file."""
    found = {}
    with h5py.File(path, "r") as file:
        file.visititems(
            lambda name, item: found.update(
                {name: item[()].tolist() if isinstance(item, h5py.Dataset) else None}
                | {f"{name}.{key}": np.asarray(value).tolist() for key, value in item.attrs.items()}
            )
        )
        return found | dict(file.attrs)


@pytest.mark.slow
def test_two_ranks_make_the_file_of_one_process(mpirun, tmp_path):
    """Every number in the file is the same, and one rank tells the result."""
    plain = write_plain(tmp_path / "p.h5", plain_arrays())
    words = [str(plain), "--inputs", "x", "--targets", "y,z", "--to", str(tmp_path / "two.h5")]
    ended = mpirun(2, [*HPCMTL, *words])
    adopted(tmp_path / "one.h5", plain)

    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.count("sealed; its values stay in") == 1
    assert content(tmp_path / "two.h5") == content(tmp_path / "one.h5")


@pytest.mark.slow
def test_bad_values_of_one_rank_refuse_the_adoption(mpirun, tmp_path):
    """A NaN in the share of the last rank ends all with 2, said once, and no file is made."""
    arrays = plain_arrays()
    arrays["x"][590] = np.nan
    plain = write_plain(tmp_path / "p.h5", arrays)
    ended = mpirun(2, [*HPCMTL, str(plain), "--inputs", "x"])

    assert ended.returncode == 2, ended.stderr
    assert ended.stderr.count("p.h5: x: sample 590 holds NaN") == 1
    assert [each.name for each in tmp_path.iterdir()] == ["p.h5"]
