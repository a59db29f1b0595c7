from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from hpcmtl.jobfile.load import parse_job
from hpcmtl.jobfile.schema import Job

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs/job_file.md").read_text(encoding="utf-8")


def keys_in(schema: Any) -> set[str]:
    """Every key that the JSON Schema of job files knows."""
    if isinstance(schema, list):
        return {key for entry in schema for key in keys_in(entry)}
    if not isinstance(schema, dict):
        return set()
    own = set(schema["properties"]) if isinstance(schema.get("properties"), dict) else set()
    return own | {key for value in schema.values() for key in keys_in(value)}


def test_the_reference_mentions_every_key() -> None:
    """Nobody has to read the schema to learn of a key."""
    missing = sorted(
        key for key in keys_in(Job.model_json_schema()) if f"`{key}`" not in PAGE and f"{key}:" not in PAGE
    )

    assert missing == []


@pytest.mark.parametrize("name", ["coupled", "digits", "modes", "multimodal", "several_sources", "small", "words"])
def test_the_examples_are_sound(name: str) -> None:
    """The example job files pass every check that needs no data."""
    raw = yaml.safe_load((ROOT / f"examples/{name}.yaml").read_text(encoding="utf-8"))

    assert parse_job(raw).job == name


def test_the_metric_of_ones_own_runs() -> None:
    """The function of the reference gives the number that its sentence says."""
    (code,) = re.findall(r"#### Metrics of your own.*?```python\n(.*?)```", PAGE, re.DOTALL)
    module: dict[str, Any] = {}
    exec(code, module)  # noqa: S102 - our own page
    outputs, targets, weights = np.array([[1.0], [2.0]]), np.array([2.0, 1.5]), np.array([1.0, 3.0])

    assert module["cost"](outputs, targets, weights) == pytest.approx((1 * 2 + 3 * 0.5) / 4)


def run_section(title: str, name: str, folder: Path) -> tuple[subprocess.CompletedProcess[str], Path]:
    """Runs the module and the job of a section as they stand; returns the ended command and its run directory."""
    section = PAGE.partition(title)[2].partition("\n## ")[0]
    (code,) = re.findall(r"```python\n(.*?)```", section, re.DOTALL)
    (job,) = re.findall(r"```yaml\n(.*?)```", section, re.DOTALL)
    (folder / f"{name}.py").write_text(code)
    (folder / f"{name}.yaml").write_text(job)
    done = subprocess.run(
        [sys.executable, "-m", "hpcmtl", "run", f"{name}.yaml"],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    (run,) = (folder / "runs").iterdir()
    return done, run


@pytest.mark.slow
@pytest.mark.mpi
def test_the_task_that_makes_data_runs(tmp_path: Path) -> None:
    """The callable and the job of the page run as they stand; the lines of its logger have rank and task."""
    done, run = run_section("### A task that makes data", "waves", tmp_path)
    tasks = json.loads((run / "results.json").read_text())["tasks"]
    lines = [line for log in (run / "logs").glob("rank.*.log") for line in log.read_text().splitlines()]

    assert done.returncode == 0, done.stderr
    assert tasks["test"]["metrics"]["accuracy"] > 0.7
    assert 0.3 < tasks["raw"]["metrics"]["share"] < 0.7
    assert any("layer=raw/0 hpcmtl.waves: made 600 samples" in line for line in lines)


@pytest.mark.slow
@pytest.mark.mpi
def test_the_task_with_transforms_runs(tmp_path: Path) -> None:
    """The module and the job of the section run as they stand on two ranks, and the network learns the bars."""
    done, run = run_section("### Transforms", "augment", tmp_path)

    assert done.returncode == 0, done.stderr
    assert json.loads((run / "results.json").read_text())["tasks"]["test"]["metrics"]["accuracy"] > 0.8
    assert (run / "transforms" / "bars.json").exists()


@pytest.mark.slow
@pytest.mark.mpi
def test_the_example_of_several_inputs_runs(tmp_path: Path) -> None:
    """The example learns from images and a table on two ranks; the section of the page shows a part of it."""
    (tmp_path / "data").mkdir()
    (tmp_path / "examples").mkdir()
    for name in ("multimodal.yaml", "multimodal_tasks.py"):
        shutil.copy(ROOT / "examples" / name, tmp_path / "examples")
    builder = [sys.executable, ROOT / "datasets/digits.py", "--out", tmp_path / "data/digits.h5"]
    subprocess.run(builder, check=True, timeout=60, capture_output=True)
    section = PAGE.partition("### Several inputs")[2].partition("\n## ")[0]
    (shown,) = re.findall(r"```yaml\n(.*?)```", section, re.DOTALL)
    task = yaml.safe_load((tmp_path / "examples/multimodal.yaml").read_text(encoding="utf-8"))["tasks"]["digit"]
    done = subprocess.run(
        [sys.executable, "-m", "hpcmtl", "run", "multimodal.yaml"],
        cwd=tmp_path / "examples",
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )

    assert yaml.safe_load(shown).items() <= task.items()
    assert done.returncode == 0, done.stderr
    (results,) = (tmp_path / "examples/runs").glob("*/results.json")
    found = json.loads(results.read_text())["tasks"]["test"]["metrics"]
    assert min(found["digit.accuracy"], found["parity.accuracy"]) > 0.85
