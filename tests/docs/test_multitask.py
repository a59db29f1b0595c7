"""Follows the guide on several objectives: its script, its job and its command."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs/guides/multitask.md").read_text(encoding="utf-8")
pytest.importorskip("torch")
pytestmark = [pytest.mark.slow, pytest.mark.mpi]


def run(folder: Path, *words: str) -> str:
    """Returns the output of a Python process that ends well."""
    done = subprocess.run(
        [sys.executable, *words], cwd=folder, capture_output=True, text=True, timeout=240, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_guide_runs(tmp_path: Path) -> None:
    """The job completes on two ranks; weightings learn the objective of the small loss better than a sum."""
    (script, angles), (job,) = (re.findall(rf"```{kind}\n(.*?)```", PAGE, re.DOTALL) for kind in ("python", "yaml"))
    (command,) = re.findall(r"```sh\n(.*?)\n```", PAGE, re.DOTALL)
    run(tmp_path, "-c", script)
    (tmp_path / "rooms.yaml").write_text(job)
    run(tmp_path, "-m", *shlex.split(command))
    (folder,) = (tmp_path / "runs").iterdir()
    tasks = json.loads((folder / "results.json").read_text())["tasks"]
    accuracy = {name: tasks[name]["metrics"]["kind.val_accuracy"] for name in ("sum", "logarithms", "nash")}
    events = [json.loads(line) for line in (folder / "events.jsonl").read_text().splitlines()]
    facts = [each["facts"] for each in events if each.get("task") == "nash" and each["event"] == "layer_ended"]
    printed = run(tmp_path, "-c", angles)

    assert [line.split()[0] for line in printed.splitlines() if "objective_cosines" in line] == ["nash"] * len(facts)
    assert {name: task["status"] for name, task in tasks.items()} == dict.fromkeys(tasks, "complete")
    assert min(accuracy["logarithms"], accuracy["nash"]) > accuracy["sum"], accuracy
    assert all(tasks[name]["metrics"]["price.val_r2"] > 0.8 for name in ("sum", "logarithms", "nash"))
    assert tasks["apart.kind"]["metrics"]["kind.val_accuracy"] > accuracy["sum"]
    assert {"turns", "stages", "apart.price"} <= tasks.keys()
    assert all(set(each) >= {"objective_weights", "objective_cosines", "objective_conflicts"} for each in facts)
