"""Follows the guide on heads that depend on each other: its script, its job and its command."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs/guides/coupled_heads.md").read_text(encoding="utf-8")
pytest.importorskip("torch")
pytestmark = [pytest.mark.slow, pytest.mark.mpi]


def run(folder: Path, *words: str) -> None:
    """Runs a Python process that ends well."""
    done = subprocess.run(
        [sys.executable, *words], cwd=folder, capture_output=True, text=True, timeout=240, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_guide_runs(tmp_path: Path) -> None:
    """The job completes on two ranks, and the head that must agree learns the parity best, as the page says."""
    (script,), (job,) = (re.findall(rf"```{kind}\n(.*?)```", PAGE, re.DOTALL) for kind in ("python", "yaml"))
    (command,) = re.findall(r"```sh\n(.*?)\n```", PAGE, re.DOTALL)
    run(tmp_path, "-c", script)
    (tmp_path / "digits.yaml").write_text(job)
    run(tmp_path, "-m", *shlex.split(command))
    (folder,) = (tmp_path / "runs").iterdir()
    tasks = json.loads((folder / "results.json").read_text())["tasks"]
    parity = {name: task["metrics"]["parity.val_accuracy"] for name, task in tasks.items()}
    shown = re.findall(r"^\| `(\w+)` \| [\d.]+ \| ([\d.]+) \|$", PAGE, re.MULTILINE)

    assert {name: task["status"] for name, task in tasks.items()} == dict.fromkeys(
        ("alone", "input", "agreement"), "complete"
    )
    assert parity["agreement"] > parity["alone"] + 0.05
    assert tasks["agreement"]["metrics"]["agree.loss"] < 0.2
    assert {name for name, _ in shown} == tasks.keys()
    assert all(abs(float(value) - parity[name]) < 0.03 for name, value in shown), (shown, parity)
