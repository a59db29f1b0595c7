"""Follows the guide on several data sets: its script, its job and its commands."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import sklearn.metrics

import hpcmtl
from hpcmtl.data.hdf5 import read_split
from hpcmtl.data.reader import open_array

if TYPE_CHECKING:
    import numpy as np

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs/guides/several_data_sets.md").read_text(encoding="utf-8")
pytestmark = [pytest.mark.slow, pytest.mark.mpi]


def run(folder: Path, *words: str) -> None:
    """Runs a Python process that ends well."""
    done = subprocess.run(
        [sys.executable, *words], cwd=folder, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def rows(path: Path, name: str, code: int) -> np.ndarray:
    """Returns the rows of an array in a split."""
    with open_array(path, name) as reader:
        return reader.read(0, reader.samples)[read_split(path) == code]


def test_the_guide_runs(tmp_path: Path) -> None:
    """The job completes on two ranks and learns; its metrics by source are scikit-learn's of the published network."""
    (script,), (job,) = (re.findall(rf"```{kind}\n(.*?)```", PAGE, re.DOTALL) for kind in ("python", "yaml"))
    (commands,) = re.findall(r"```sh\n(.*?)\n```", PAGE, re.DOTALL)
    run(tmp_path, "-c", script)
    (tmp_path / "houses.yaml").write_text(job)
    for command in commands.splitlines():
        run(tmp_path, "-m", *shlex.split(command))
    (folder,) = (tmp_path / "runs").iterdir()
    tasks = json.loads((folder / "results.json").read_text())["tasks"]
    network = hpcmtl.load(folder / "artifacts/both.h5").network
    found = tasks["both"]["metrics"]

    for name in ("houses", "flats"):
        file = tmp_path / f"{name}.h5"
        for code, metric in ((1, found[f"price.{name}.val_r2"]), (2, tasks["flats_test"]["metrics"]["price.r2"])):
            if code == 2 and name == "houses":
                continue
            outputs = network.outputs(rows(file, "x", code))["price"][:, 0]
            assert metric == pytest.approx(sklearn.metrics.r2_score(rows(file, "price", code), outputs), abs=1e-4)
        assert f"price.{name}.val_loss" in found
        assert f"{name}.val_r2" in tasks["price"]["metrics"]
    assert found["price.val_r2"] > 0.7
    assert found["rating.val_accuracy"] > 0.85
