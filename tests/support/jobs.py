"""Job files of the tests: a family of every task kind on small images, and its user code."""

from __future__ import annotations

import copy
import shutil
from pathlib import Path
from typing import Any

import yaml

# Every feature of a job, small: about 20 steps per epoch on 8 x 8 images.
FAMILY: dict[str, Any] = {
    "hpcmtl": 1,
    "job": "family",
    "ranks": 4,
    "seed": 3,
    "data": {"digits": "digits.h5"},
    "defaults": {"batch_size": 64, "optimizer": {"name": "adam", "learning_rate": 0.003}},
    "layers": {"policy": "variable", "quantum": "40KiB", "max_layers": 4},
    "tasks": {
        "trunk": {
            "kind": "train",
            "model": {"name": "conv_autoencoder", "channels": [8], "code": 24},
            "input": "digits/images",
            "target": "digits/images",
            "loss": "l2",
            "epochs": 3,
        },
        "features": {"kind": "extract", "needs": {"trunk": "parameters"}, "output": "encoder"},
        "digit": {
            "kind": "train",
            "needs": {"features": "data"},
            "model": {"name": "mlp", "widths": [32], "outputs": 10},
            "input": "features/values",
            "target": "digits/digit",
            "loss": "softmax_ce",
            "metrics": ["accuracy"],
            "epochs": 6,
        },
        "parity": {
            "kind": "train",
            "needs": {"features": "data"},
            "model": {"name": "mlp", "widths": [32], "outputs": 2},
            "input": "features/values",
            "target": "digits/parity",
            "loss": "softmax_ce",
            "metrics": ["accuracy"],
            "epochs": 6,
        },
        "joint": {
            "kind": "joint",
            "needs": {"trunk": "parameters", "digit": "parameters", "parity": "parameters"},
            "input": "digits/images",
            "trunk": {"from": "trunk", "part": "encoder"},
            "heads": {"digit": {"from": "digit"}, "parity": {"from": "parity"}},
            "compression": "fp16",
            "epochs": 5,
        },
        "outputs": {"kind": "predict", "needs": {"joint": "parameters"}},
        "report": {
            "kind": "evaluate",
            "needs": {"joint": "parameters"},
            "split": "test",
            "metrics": ["accuracy", "auc"],
        },
        "census": {
            "kind": "python",
            "needs": {"outputs": "data"},
            "callable": "user_code:census",
            "arguments": {"reference": "outputs/digit"},
            "outputs": ["votes"],
        },
    },
}


def family(**changes: Any) -> dict[str, Any]:
    """Returns a copy of the family with other top-level keys."""
    return {**copy.deepcopy(FAMILY), **changes}


def family_task(name: str, **changes: Any) -> dict[str, Any]:
    """One task of the family without what it needs, with other keys."""
    task = {key: value for key, value in copy.deepcopy(FAMILY["tasks"][name]).items() if key != "needs"}
    return {**task, **changes}


def write_job(folder: Path, job: dict[str, Any], data: Path | None = None) -> Path:
    """Writes a job file, with the data set and the user's module beside it, and returns its path."""
    file = folder / "job.yaml"
    file.write_text(yaml.safe_dump(job, sort_keys=False), encoding="utf-8")
    shutil.copy(Path(__file__).with_name("user_code.py"), folder)
    if data is not None and not (folder / "digits.h5").exists():
        (folder / "digits.h5").symlink_to(data)
    return file


def long_job(ranks: int = 2) -> dict[str, Any]:
    """Returns a job that trains for minutes, in layers of some seconds, and a task that depends on it."""
    digit = family_task("digit", input="digits/images", epochs=3000, layers=100, ranks=ranks)
    after = {"kind": "predict", "needs": {"digit": "parameters"}}
    return family(ranks=ranks, tasks={"digit": digit, "after": after})


def python_job(callable_name: str, ranks: int = 2, **arguments: Any) -> dict[str, Any]:
    """Returns a job of one python task on all ranks."""
    task = {"kind": "python", "callable": f"user_code:{callable_name}", "arguments": arguments, "ranks": ranks}
    return family(ranks=ranks, tasks={"task": task})
