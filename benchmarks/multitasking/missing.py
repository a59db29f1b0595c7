"""Diamonds, where 30 % of the train labels of one head are missing, beside all labels; test labels are complete."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from multitasking.data_files import diamonds
from multitasking.diamonds import COLUMNS, DEFAULTS, EPOCHS, QUICK, QUICK_EPOCHS, QUICK_ROWS, heads, joint
from multitasking.family import QUICK_SEEDS, SEEDS, job_of, test_rows
from multitasking.spread import print_table

METHODS = ("equal", "log", "imtl_g", "nash_mtl")
CUTS = {
    "all": {"target": "diamonds/cut"},
    "some": {"target": "diamonds/cut_some", "mask": "diamonds/cut_some_mask"},
}
"""Ending of the names of tasks -> labels of the cut."""


def run(quick: bool) -> tuple[dict[str, Any], bool]:
    """Prints the table; returns all numbers, and true: it has no bar."""
    epochs, seeds = (QUICK_EPOCHS, QUICK_SEEDS) if quick else (EPOCHS, SEEDS)
    tasks = {}
    for ending, cut in CUTS.items():
        of = heads(cut=cut)
        tasks[f"cut_alone_{ending}"] = joint({"cut": of["cut"]}, epochs)
        for method in QUICK if quick else METHODS:
            tasks[f"{method}_{ending}"] = joint(of, epochs, method)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        job = job_of("missing", {"diamonds": diamonds(folder, QUICK_ROWS if quick else None)}, {}, **DEFAULTS)
        rows = test_rows(job, tasks, COLUMNS, seeds=seeds, folder=folder)
    return print_table("task", rows), True
