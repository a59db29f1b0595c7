"""A job trains on adopted files as on their sealed copy, bit for bit, alone and on two ranks."""

from __future__ import annotations

import h5py
import numpy as np
import pytest
from jobs import family, family_task
from plain_files import adopted, write_plain
from runs import run_python

pytestmark = [pytest.mark.mpi, pytest.mark.slow, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def adopted_digits(tmp_path_factory, digits_file):
    """The digits in three plain, compressed shards, with the split of the sealed file."""
    folder = tmp_path_factory.mktemp("shards")
    with h5py.File(digits_file, "r", locking=False) as file:
        arrays = {name: file[name][()] for name in ("images", "digit", "split")}
        scale = float(file["images"].attrs["scale"])
    for number, rows in enumerate(np.array_split(np.arange(len(arrays["split"])), 3)):
        parts = {"images": arrays["images"][rows], "digit": arrays["digit"][rows], "which": arrays["split"][rows]}
        write_plain(folder / f"digits{number}.h5", parts, compression="gzip", shuffle=True)
    return adopted(
        folder / "digits.h5",
        folder / "digits[0-9].h5",
        "images,digit",
        columns={
            "images": {"kind": "array", "scale": scale},
            "digit": {"kind": "array", "classes": [str(n) for n in range(10)]},
        },
        split={"by": "column", "column": "which"},
    )


def job(data):
    """One task on one rank, one on two, in one epoch."""
    task = family_task("digit", input="digits/images", epochs=1)
    tasks = {"alone": {**task, "ranks": 1}, "both": {**task, "ranks": 2}}
    return family(ranks=2, data={"digits": str(data)}, tasks=tasks)


def test_a_job_on_adopted_files_is_that_on_their_copy(start_once, adopted_digits, digits_file):
    """Parameters and metrics are bit-equal to those from the sealed file; validate accepts the job."""
    mine, theirs = (start_once(job(data)).finish() for data in (adopted_digits, digits_file))
    checked = run_python(mine.folder, "-m", "hpcmtl", "validate", "job.yaml")

    assert (mine.returncode, theirs.returncode) == (0, 0), mine.said + theirs.said
    for task in ("alone", "both"):
        found, expected = mine.arrays(task), theirs.arrays(task)
        assert found.keys() == expected.keys()
        assert all(np.array_equal(found[name], expected[name]) for name in found)
        assert mine.results["tasks"][task]["metrics"] == theirs.results["tasks"][task]["metrics"]
    assert (checked.returncode, "is sound" in checked.stdout) == (0, True), checked.stderr


def test_a_moved_original_is_refused_before_anything_is_trained(start_once, adopted_digits):
    """The command validate names the file and the remedy."""
    shard = adopted_digits.with_name("digits1.h5")
    shard.rename(shard.with_suffix(".away"))
    try:
        refused = start_once(job(adopted_digits), words=("validate", "job.yaml")).finish()
    finally:
        shard.with_suffix(".away").rename(shard)

    assert refused.returncode == 2
    assert "digits1.h5 (adopted): is not there; put the file back as it was" in refused.stderr
