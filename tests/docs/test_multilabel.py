"""Follows the guide on several labels a sample: its script, its job and its command."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest
import sklearn.metrics

import hpcmtl
from hpcmtl.jobfile.metrics import METRICS_OF_LABELS

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs/guides/multilabel.md").read_text(encoding="utf-8")
pytestmark = [pytest.mark.slow, pytest.mark.mpi]


def run(folder: Path, *words: str) -> None:
    """Runs a Python process that ends well."""
    done = subprocess.run(
        [sys.executable, *words], cwd=folder, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_guide_runs(tmp_path: Path) -> None:
    """The job completes on two ranks and learns; its metrics are scikit-learn's of the published networks."""
    (script,), (job,) = (re.findall(rf"```{kind}\n(.*?)```", PAGE, re.DOTALL) for kind in ("python", "yaml"))
    (command,) = re.findall(r"```sh\n(.*?)\n```", PAGE, re.DOTALL)
    run(tmp_path, "-c", script)
    (tmp_path / "tags.yaml").write_text(job)
    run(tmp_path, "-m", *shlex.split(command))
    (folder,) = (tmp_path / "runs").iterdir()
    tasks = json.loads((folder / "results.json").read_text())["tasks"]
    with h5py.File(tmp_path / "tags.h5") as file:
        x, tags, some, split = (file[name][()] for name in ("x", "tags", "some", "split"))
    scores, few = (hpcmtl.load(folder / f"artifacts/{name}.h5").network.outputs(x)["main"] for name in ("all", "known"))
    val, test = split == 1, split == 2
    known = np.isfinite(some) & test[:, None]
    found = tasks["all_test"]["metrics"]

    assert set(found) == set(METRICS_OF_LABELS)
    assert found["f1_macro"] == pytest.approx(sklearn.metrics.f1_score(tags[test], scores[test] > 0, average="macro"))
    assert found["average_precision"] == pytest.approx(
        sklearn.metrics.average_precision_score(tags[test], scores[test])
    )
    assert found["recall_micro"] == pytest.approx(
        sklearn.metrics.recall_score(tags[test], scores[test] > 0, average="micro")
    )
    assert found["auc_macro"] == pytest.approx(sklearn.metrics.roc_auc_score(tags[test], scores[test]), abs=1e-6)
    assert found["ranking_loss"] == pytest.approx(sklearn.metrics.label_ranking_loss(tags[test], scores[test]))
    assert tasks["all"]["metrics"]["val_f1_micro"] == pytest.approx(
        sklearn.metrics.f1_score(tags[val], scores[val] > 0, average="micro")
    )
    assert tasks["known_test"]["metrics"]["f1_micro"] == pytest.approx(
        sklearn.metrics.f1_score(some[known], few[known] > 0)
    )
    assert found["f1_micro"] > 0.7
    assert found["auc_macro"] > 0.85
