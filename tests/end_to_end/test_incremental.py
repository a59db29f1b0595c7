"""Incremental training in two real runs: the second one goes on from the first, on rows that were added since."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest
import yaml

from hpcmtl.data.hdf5 import write_dataset_file

pytestmark = [pytest.mark.mpi, pytest.mark.slow, pytest.mark.timeout(300)]

NET = {"kind": "train", "framework": "torch", "model": {"name": "mlp", "outputs": 2}, "input": "rows/x"}
NET |= {"target": "rows/y", "loss": "softmax_ce", "metrics": ["accuracy"], "epochs": 4, "ranks": 2}
NET |= {"optimizer": {"name": "adam", "learning_rate": 0.02}, "batch_size": 32}


def run(folder, job, **changes):
    """Run a job on two ranks in a folder of its own; return its run directory and the metrics of its task."""
    raw = {
        "hpcmtl": 1,
        "job": job,
        "ranks": 2,
        "seed": 1,
        "data": {"rows": "rows.h5"},
        "tasks": {"net": {**NET, **changes}},
    }
    (folder / f"{job}.yaml").write_text(yaml.safe_dump(raw))
    command = [sys.executable, "-m", "hpcmtl", "run", f"{job}.yaml"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    (directory,) = (folder / "runs").glob(f"{job}-*")
    return directory, json.loads((directory / "results.json").read_text())["tasks"]["net"]["metrics"]


def test_a_second_run_goes_on(tmp_path):
    """It begins with the parameters of the first one, from a path relative to the job file, and reports forgetting."""
    x = np.random.default_rng(1).normal(size=(900, 6)).astype(np.float32)
    y, split = (x[:, 0] > 0).astype(np.int64), np.arange(900) % 5 % 3
    write_dataset_file(tmp_path / "rows.h5", {"x": x[:600], "y": y[:600]}, split[:600])
    first, metrics = run(tmp_path, "first", epochs=20)
    write_dataset_file(tmp_path / "rows.h5", {"x": x, "y": y}, split, overwrite=True)
    _, later = run(tmp_path, "later", increment={"new_since": f"runs/{first.name}", "replay": 0.3})

    assert metrics["val_accuracy"] > 0.9
    assert later["old_test_accuracy_before"] > 0.9
    assert later["old_test_accuracy_change"] == pytest.approx(
        later["old_test_accuracy"] - later["old_test_accuracy_before"]
    )
