"""Diamonds: the price with two classifications, in units of one size and in units whose loss is 10,000 times as large.

One job trains each method on both versions of the price with five seeds; its planner runs the tasks side by side.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from multitasking.data_files import diamonds
from multitasking.family import QUICK_SEEDS, SEEDS, job_of, test_rows
from multitasking.spread import print_table

METHODS = ("equal", "uncertainty", "log", "db_mtl", "imtl_g", "nash_mtl", "mgda")
QUICK = ("equal", "log")
PRICES = {"price": "std", "price_40": "usd40"}
"""Target -> ending of the names of tasks."""
COLUMNS = {"price.r2": "r2 of price", "cut.accuracy": "accuracy of cut", "clarity.accuracy": "accuracy of clarity"}
EPOCHS, QUICK_EPOCHS, QUICK_ROWS = 12, 2, 4000
DEFAULTS = {"batch_size": 256, "optimizer": {"name": "adam", "learning_rate": 0.002}}


def heads(price: str = "price", cut: dict[str, str] | None = None) -> dict[str, Any]:
    """Returns the heads of a joint task.

    Args:
        price: name of the target of the price.
        cut: keys of the target of the cut; by default it has all labels.
    """
    return {
        "price": _head(1, {"target": f"diamonds/{price}"}, "l2", "r2"),
        "cut": _head(5, cut or {"target": "diamonds/cut"}, "softmax_ce", "accuracy"),
        "clarity": _head(8, {"target": "diamonds/clarity"}, "softmax_ce", "accuracy"),
    }


def joint(of: dict[str, Any], epochs: int, weighting: str | None = None) -> dict[str, Any]:
    """Returns a joint task with some heads; with one head it is a task by itself, with the same network."""
    task = {
        "kind": "joint",
        "input": "diamonds/inputs",
        "trunk": {"model": {"name": "mlp", "widths": [64], "outputs": 64}},
        "heads": of,
        "epochs": epochs,
        "validate_every": 0,
    }
    return task if weighting is None else {**task, "weighting": weighting}


def _head(outputs: int, labels: dict[str, str], loss: str, metric: str) -> dict[str, Any]:
    return {**labels, "model": {"name": "mlp", "widths": [32], "outputs": outputs}, "loss": loss, "metrics": [metric]}


def run(quick: bool) -> tuple[dict[str, Any], bool]:
    """Prints the table; returns all numbers, and true: it has no bar."""
    epochs, seeds = (QUICK_EPOCHS, QUICK_SEEDS) if quick else (EPOCHS, SEEDS)
    tasks = {}
    for target, ending in PRICES.items():
        of = heads(target)
        for name in of:
            if name == "price" or target == "price":
                tasks[f"{name}_alone_{ending}"] = joint({name: of[name]}, epochs)
        for method in QUICK if quick else METHODS:
            tasks[f"{method}_{ending}"] = joint(of, epochs, method)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        job = job_of("diamonds", {"diamonds": diamonds(folder, QUICK_ROWS if quick else None)}, {}, **DEFAULTS)
        rows = test_rows(job, tasks, COLUMNS, seeds=seeds, folder=folder)
    return print_table("task", rows), True
