"""A task kind of another package, found by its entry point, in a whole job."""

import json
import os
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest
from jobs import family, family_task, write_job
from runs import CHECKOUT

SUPPORT = CHECKOUT / "tests" / "support"
SUMS = {"kind": "row_sums", "input": "digits/images", "factor": 0.5, "ranks": 2}
HEAD = family_task("digit", input="sums/sums", needs={"sums": "data"}, epochs=3, ranks=2)

pytestmark = [pytest.mark.timeout(600), pytest.mark.slow]


@pytest.fixture
def installed(tmp_path):
    """The environment of processes that find the package `outside`, which supplies the kind `row_sums`."""
    info = tmp_path / "site" / "outside-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: outside\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[hpcmtl.task_kinds]\nrow_sums = outside_kind:KIND\n")
    return {"PYTHONPATH": os.pathsep.join(map(str, (info.parent, SUPPORT)))}


def hpcmtl(folder: Path, installed, *words):
    """Run a verb that starts no ranks."""
    path = os.pathsep.join((installed["PYTHONPATH"], str(CHECKOUT)))
    command = [sys.executable, "-m", "hpcmtl", *words]
    environ = {**os.environ, "PYTHONPATH": path}
    return subprocess.run(command, cwd=folder, env=environ, capture_output=True, text=True, check=False, timeout=120)


@pytest.mark.slow
def test_a_kind_of_another_package_runs(start, installed):
    """It runs on two ranks, and another task trains on the array that it publishes."""
    run = start(family(ranks=2, tasks={"sums": SUMS, "digit": HEAD}), env=installed).finish()
    with h5py.File(run.folder / "digits.h5") as file:
        images = file["images"][()] * np.float32(file["images"].attrs["scale"])
    metrics = {name: task["metrics"] for name, task in run.results["tasks"].items() if task["status"] == "complete"}

    assert run.returncode == 0, run.said
    assert np.allclose(run.arrays("sums")["sums"], 0.5 * images.sum(axis=-1))
    assert metrics["sums"] == {"ranks": 2.0}
    assert metrics["digit"]["loss"] < np.log(10)  # of guessing one of ten digits


def test_a_kind_of_another_package_is_validated_and_planned(tmp_path, digits_file, installed):
    """Its keys, shapes and work are known before the job runs, and editors get its JSON Schema."""
    write_job(tmp_path, family(ranks=2, tasks={"sums": SUMS, "digit": HEAD}), digits_file)
    validated = hpcmtl(tmp_path, installed, "validate", "job.yaml")
    planned = hpcmtl(tmp_path, installed, "plan", "job.yaml", "--json")
    schema = json.loads(hpcmtl(tmp_path, installed, "schema").stdout)

    assert validated.returncode == 0, validated.stdout + validated.stderr
    assert {task["kind"] for task in json.loads(planned.stdout)["tasks"]} == {"row_sums", "train"}
    assert schema["$defs"]["RowSums"]["properties"]["factor"]["description"] == "multiplies the sums"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"kind": "row_sum"}, "unknown task kind 'row_sum'; did you mean 'row_sums'?"),
        ({"factors": 2.0}, "unknown key 'factors'; did you mean 'factor'?"),
        ({"factor": float("inf")}, "found inf; write a finite number"),
        ({"factor": 1e31}, "the sums would be beyond float32; write a smaller number"),
        ({"input": "digits/digit"}, "digits/digit has samples without an axis to sum over"),
    ],
)
def test_mistakes_in_a_task_of_another_package_are_named(tmp_path, digits_file, installed, change, message):
    """An unknown kind or key, and what the kind itself refuses, are reported as those of built-in kinds are."""
    write_job(tmp_path, family(ranks=2, tasks={"sums": {**SUMS, **change}}), digits_file)
    validated = hpcmtl(tmp_path, installed, "validate", "job.yaml")

    assert validated.returncode == 2
    assert message in validated.stdout + validated.stderr
