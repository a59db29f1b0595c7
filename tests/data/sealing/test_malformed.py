"""Damaged files of each type end with a clear error, and never with a traceback or a hang."""

from __future__ import annotations

import h5py
import numpy as np
import pandas as pd
import pytest
from malformed import mangled_bytes

from hpcmtl.data.sealing.seal import plan_seal
from hpcmtl.errors import InputError

MANGLED = 60


def content_of(folder, ending):
    """Returns a sound file of a type, as bytes."""
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(
        {
            "a": rng.normal(size=60),
            "b": rng.choice(["x", "y"], 60),
            "c": rng.integers(0, 9, 60),
            "d": ["2020-01-01"] * 60,
        }
    )
    path = folder / f"sound{ending}"
    if ending == ".csv":
        frame.to_csv(path, index=False)
    elif ending == ".parquet":
        frame.to_parquet(path)
    elif ending == ".npz":
        np.savez_compressed(path, a=frame["a"], c=frame["c"])
    elif ending == ".npy":
        np.save(path, frame[["a", "c"]])
    else:
        with h5py.File(path, "w") as file:
            file["a"], file["c"] = frame["a"], frame["c"]
    return path.read_bytes()


@pytest.mark.parametrize("ending", [".csv", ".parquet", ".npz", ".npy", ".h5"])
def test_damaged_files_are_refused(tmp_path, ending):
    """A file with changed bytes is read, if it is still a table, or refused with its name."""
    content, path, refused = content_of(tmp_path, ending), tmp_path / f"table{ending}", []
    for number in range(MANGLED):
        path.write_bytes(mangled_bytes(content, number))
        try:
            plan_seal(path).require_sound()
        except InputError as error:
            refused.append(str(error))

    assert len(refused) > MANGLED // 4
    assert all(str(path) in message for message in refused)
