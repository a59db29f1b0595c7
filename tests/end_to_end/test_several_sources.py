"""The example of several sources on a real MPI: arrays of files and of other tasks in one training."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from datasets import digits

ROOT = Path(__file__).parents[2]

pytestmark = [pytest.mark.mpi, pytest.mark.timeout(300), pytest.mark.slow]


def test_the_example_runs(tmp_path):
    """Its network learns all three sources, and results and reports tell digits and turned digits apart."""
    (tmp_path / "examples").mkdir()
    for name in ("several_sources.yaml", "several_sources_tasks.py"):
        shutil.copy(ROOT / "examples" / name, tmp_path / "examples")
    (tmp_path / "data").mkdir()
    digits.build(tmp_path / "data/digits.h5")
    command = [sys.executable, "-m", "hpcmtl", "run", "examples/several_sources.yaml"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=200, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    (results,) = tmp_path.rglob("results.json")
    tasks = json.loads(results.read_text(encoding="utf-8"))["tasks"]
    joint = tasks["joint"]["metrics"]

    assert joint["digit.digits.val_accuracy"] > 0.8
    assert 0.4 < joint["digit.turned.val_accuracy"] < joint["digit.digits.val_accuracy"]
    assert joint["upright.val_accuracy"] == 1.0
    assert joint["digit.digits.val_loss"] < joint["digit.turned.val_loss"]
    assert tasks["report_digits"]["metrics"]["digit.accuracy"] > tasks["report_turned"]["metrics"]["digit.accuracy"]
