"""Jobs on ranks of which some have a GPU, by a made-up NVML and a framework that takes it for one: no GPU is used."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from jobs import family, family_task
from runs import PROGRAM

pytestmark = [pytest.mark.mpi, pytest.mark.slow, pytest.mark.timeout(600)]

SUPPORT = Path(__file__).parents[1] / "support"
NVML = """
import os
from types import SimpleNamespace

class NVMLError(Exception):
    pass

def nvmlInit():
    if os.environ.get("OMPI_COMM_WORLD_RANK") not in {"1", "2"}:
        raise NVMLError("Driver Not Loaded")

def nvmlShutdown(): pass
def nvmlSystemGetDriverVersion(): return "550"
def nvmlDeviceGetCount(): return 2
def nvmlDeviceGetHandleByIndex(index): return index
def nvmlDeviceGetName(handle): return "Pretended"
def nvmlDeviceGetMemoryInfo(handle): return SimpleNamespace(total=8 << 30)
def nvmlDeviceGetUUID(handle): return f"GPU-{handle}"
"""
FRAMEWORK = """
import os
from dataclasses import replace
from pathlib import Path

from numpy_description import NUMPY
from numpy_framework import NumpyFramework

DESCRIPTION = replace(NUMPY, name="pretending", factory="pretending:Pretending")

class Pretending(NumpyFramework):
    def gpu_problem(self, number):
        return None

    def learner(self, network, sample, objectives, settings, device):
        task = f"{network.model.widths[0]}"
        rank = os.environ["OMPI_COMM_WORLD_RANK"]
        (Path(os.environ["DEVICES"]) / f"{task}-{rank}").write_text(f"{device.kind} {device.index}")
        return super().learner(network, sample, objectives, settings, device)
"""


@pytest.fixture
def machine(tmp_path):
    """Environment in which ranks 1 and 2 have the GPUs 0 and 1, and the folder where devices are noted."""
    site, noted = tmp_path / "site", tmp_path / "noted"
    info = site / "pretending-1.dist-info"
    info.mkdir(parents=True)
    noted.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: pretending\nVersion: 1\n")
    (info / "entry_points.txt").write_text("[hpcmtl.frameworks]\npretending = pretending:DESCRIPTION\n")
    (site / "pretending.py").write_text(FRAMEWORK)
    (site / "pynvml.py").write_text(NVML)
    return {"PYTHONPATH": os.pathsep.join([str(site), str(SUPPORT)]), "DEVICES": str(noted)}, noted


def task(width, **keys):
    """A training task that is known by the width of its network."""
    return family_task(
        "digit",
        **{
            "input": "digits/images",
            "framework": "pretending",
            "model": {"name": "mlp", "widths": [width], "outputs": 10},
            "optimizer": {"name": "sgd", "learning_rate": 0.1},
            "engine": "mpi",
            "epochs": 2,
            **keys,
        },
    )


def test_tasks_run_where_their_devices_are(start, machine):
    """GPU tasks are on the ranks with GPUs; a group of both kinds of ranks computes on CPUs; all is on record."""
    env, noted = machine
    tasks = {
        "wide": task(20, ranks=3),
        "gpu": task(21, device="gpu", ranks=2),
        "large": task(22, ranks={"gpu_memory": "8GiB", "max": 1}),
        "cpu": task(23, device="cpu", ranks={"gpu_memory": None, "max": 1}),
    }
    run = start(family(ranks=3, tasks=tasks), PROGRAM, env=env).finish()

    assert run.returncode == 0, run.said
    found = {path.name: path.read_text() for path in noted.iterdir()}
    assert {found[f"20-{rank}"] for rank in range(3)} == {"cpu 0"}
    assert {name: text for name, text in found.items() if name[:2] == "21"} == {"21-1": "gpu 0", "21-2": "gpu 1"}
    assert {text for name, text in found.items() if name[:2] == "22"} <= {"gpu 0", "gpu 1"}
    assert {text for name, text in found.items() if name[:2] == "23"} == {"cpu 0"}
    environment = json.loads((run.directory / "environment.json").read_text())
    assert [rank["gpu"] for rank in environment["probe"]["ranks"]] == [None, 0, 1]
    assert environment["probe"]["ranks"][1]["gpus"][0]["name"] == "Pretended"


def test_a_gpu_that_no_rank_has(start, machine):
    """On one rank without a GPU the job is refused before anything is written, with file, key and remedy."""
    env, _ = machine
    run = start(family(ranks=1, tasks={"one": task(20, device="gpu")}), PROGRAM, env=env).finish()

    assert run.returncode == 2, run.said
    assert "job.yaml: tasks.one.device (line" in run.stderr
    assert "the task asks for a GPU, and none of the 1 ranks" in run.stderr
    assert not (run.folder / "runs").exists()
