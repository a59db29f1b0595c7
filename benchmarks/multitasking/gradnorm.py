"""The toy problem of GradNorm (Chen et al., ICML 2018): regressions of one form, whose targets differ in scale.

Task i has the target `scale_i * tanh((B + E_i) x)` with 250 inputs and 100 outputs; B is common to all tasks and normal
with deviation 10, E_i has deviation 3.5. The trunk has four layers of 100 with ReLU. The measure is the sum over the
tasks of the test loss over that of an output of 0, which is what a network gives before its training: 1 for each task.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from hpcmtl.data import seal
from multitasking.family import QUICK_SEEDS, SEEDS, STEP, job_of, test_rows
from multitasking.spread import Rows, print_table

INPUTS, OUTPUTS, COMMON, OWN, SEED = 250, 100, 10.0, 3.5, 2018
SCALES = {"two": (1.0, 100.0), "ten": (1.0, 50.0, 30.0, 70.0, 20.0, 80.0, 10.0, 40.0, 60.0, 90.0)}
SAMPLES, QUICK_SAMPLES, EPOCHS, QUICK_EPOCHS = 12_000, 500, 20, 1
DEFAULTS = {"batch_size": 200, "optimizer": {"name": "adam", "learning_rate": 0.002}}
METHODS = {"equal": "equal", "uncertainty": "uncertainty", "gradnorm": {"name": "gradnorm", "options": {"alpha": 0.12}}}


def data_file(path: Path, scales: tuple[float, ...], samples: int) -> dict[str, float]:
    """Writes the problem, and returns the mean square of each target over the test samples."""
    random = np.random.default_rng(SEED)
    common = random.normal(0, COMMON, (INPUTS, OUTPUTS))
    x = random.uniform(-1, 1, (samples, INPUTS))
    targets = {
        f"y{number}": (scale * np.tanh(x @ (common + random.normal(0, OWN, common.shape)))).astype(np.float32)
        for number, scale in enumerate(scales)
    }
    split = np.arange(samples) % 10
    split = np.where(split < 8, 0, split - 7).astype(np.uint8)
    seal(
        path,
        {"x": x.astype(np.float32), **targets, "part": split},
        {
            "columns": {key: {"kind": "array"} for key in ["x", *targets]},
            "targets": list(targets),
            "split": {"by": "column", "column": "part"},
        },
    )
    return {name: float((array[split == 2].astype(float) ** 2).mean()) for name, array in targets.items()}


def joint(problem: str, count: int, weighting: Any, epochs: int) -> dict[str, Any]:
    """Returns the joint task of a method."""
    head = {"model": {"name": "mlp", "outputs": OUTPUTS}, "loss": "l2", "metrics": ["mse"]}
    return {
        "kind": "joint",
        "input": f"{problem}/x",
        "trunk": {"model": {"name": "mlp", "widths": [100, 100, 100], "outputs": 100}},
        "heads": {f"y{number}": {**head, "target": f"{problem}/y{number}"} for number in range(count)},
        "weighting": weighting,
        "epochs": epochs,
        "validate_every": 0,
    }


def run(quick: bool) -> tuple[dict[str, Any], bool]:
    """Prints the table; returns all numbers, and true: the order of the methods is no bar."""
    epochs, seeds, samples = (QUICK_EPOCHS, QUICK_SEEDS, QUICK_SAMPLES) if quick else (EPOCHS, SEEDS, SAMPLES)
    rows: Rows = {}
    problems = {"two": SCALES["two"]} if quick else SCALES
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        files = {name: folder / f"{name}.h5" for name in problems}
        squares = {name: data_file(files[name], scales, samples) for name, scales in problems.items()}
        tasks = {
            f"{method}_{name}": joint(name, len(scales), weighting, epochs)
            for name, scales in problems.items()
            for method, weighting in METHODS.items()
        }
        columns = {f"y{number}.mse": f"y{number}" for number in range(max(map(len, problems.values())))}
        losses = test_rows(job_of("gradnorm", files, {}, **DEFAULTS), tasks, columns, seeds=seeds, folder=folder)
    for name, scales in problems.items():
        own = squares[name]
        for task in (f"{method}_{name}" for method in METHODS):
            ratios = {key: [value / own[key] for value in losses[task][key]] for key in own}
            sums = [sum(values) for values in zip(*ratios.values(), strict=True)]
            small, large = f"y{int(np.argmin(scales))}", f"y{int(np.argmax(scales))}"
            rows[task] = {
                "sum of losses over those of 0": sums,
                "the smallest scale": ratios[small],
                "the largest scale": ratios[large],
                STEP: losses[task][STEP],
            }
    return print_table("task", rows), True
