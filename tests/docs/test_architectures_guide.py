"""Follows the guide on architectures: its script, its job and its command."""

from __future__ import annotations

import fnmatch
import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

import hpcmtl

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs/guides/architectures.md").read_text(encoding="utf-8")
pytest.importorskip("torch")
pytestmark = [pytest.mark.slow, pytest.mark.mpi]


def run(folder: Path, *words: str) -> None:
    """Runs a Python process that ends well."""
    done = subprocess.run(
        [sys.executable, *words], cwd=folder, capture_output=True, text=True, timeout=240, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_guide_runs(tmp_path: Path) -> None:
    """The job completes on two ranks, experts help a narrow trunk, and names and numbers of parameters are as told."""
    (script,), (job,) = (re.findall(rf"```{kind}\n(.*?)```", PAGE, re.DOTALL) for kind in ("python", "yaml"))
    (command,) = re.findall(r"```sh\n(.*?)\n```", PAGE, re.DOTALL)
    run(tmp_path, "-c", script)
    (tmp_path / "levels.yaml").write_text(job)
    run(tmp_path, "-m", *shlex.split(command))
    (folder,) = (tmp_path / "runs").iterdir()
    tasks = json.loads((folder / "results.json").read_text())["tasks"]
    means = {
        name: sum(value for key, value in task["metrics"].items() if key.endswith("val_r2")) / 3
        for name, task in tasks.items()
        if name != "codes"
    }
    told = {name: int(count) for name, count in re.findall(r"^\| `(\w+)` \| (\d+) \|", PAGE, re.MULTILINE)}
    arrays = {name: hpcmtl.load(folder / "artifacts" / f"{name}.h5").arrays for name in told}
    kinds = {name: task.get("architecture", {}) for name, task in yaml.safe_load(job)["tasks"].items()}

    assert {name: task["status"] for name, task in tasks.items()} == dict.fromkeys(tasks, "complete")
    assert set(told) == set(means)
    assert min(means["mmoe"], means["ple"], means["wide"]) > means["hard"], means
    assert {name: sum(array.size for array in each.values()) for name, each in arrays.items()} == told
    for architectures, patterns in re.findall(r"^\| (`.*?`) \| (`trunk\..*) \|$", PAGE, re.MULTILINE):
        names = [
            key
            for name, each in arrays.items()
            if (kinds[name] if isinstance(kinds[name], str) else kinds[name].get("name", ""))
            in architectures.replace("`", "").split(", ")
            for key in each
            if key.startswith("trunk.")
        ]
        shown = [
            p.replace("HEAD", "*").replace("LAYER", "*").replace(".0.", ".*.")
            for p in re.findall("`(trunk[^`]*)`", patterns)
        ]
        assert names
        assert all(fnmatch.filter(names, pattern) for pattern in shown)
        assert all(any(fnmatch.fnmatchcase(name, pattern) for pattern in shown) for name in names)
