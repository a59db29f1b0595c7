"""A constructed data set on which heads that depend on each other help: few labels of one head follow from the other's.

A sample lies near one of twenty centres, two for each of ten digits. All samples have a digit; few train samples have a
parity, which follows from the digit. A head for the parity alone learns it from these few. The tasks of one job give it
the scores of the other head, or tie both heads by the table from digits to parities.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from hpcmtl.data.hdf5 import write_dataset_file
from hpcmtl.data.split import split_by_hash

SAMPLES, WIDTH, DIGITS = 6000, 12, 10
KNOWN, SPREAD = 0.02, 0.9
SEEDS, EPOCHS = (1, 2, 3, 4, 5), 12
TABLE = [digit % 2 for digit in range(DIGITS)]
AGREE = {"heads": ["digit", "parity"], "loss": "kl", "map": TABLE}
TASKS: dict[str, dict[str, Any]] = {
    "alone": {},
    "input": {"inputs": ["trunk", "digit"]},
    "input, stopped": {"inputs": ["trunk", "digit"], "gradient": "stop"},
    "consistency": {"consistency": AGREE},
    "consistency, unlabelled": {"consistency": {**AGREE, "samples": "unlabelled"}},
    "consistency, stopped": {"consistency": {**AGREE, "stop_gradient": "digit"}},
    "both": {"inputs": ["trunk", "digit"], "consistency": AGREE},
}


def write_data(file: Path, seed: int) -> None:
    """Writes the data set of a seed; -1 is a missing parity."""
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(2 * DIGITS, WIDTH))
    place = rng.integers(0, 2 * DIGITS, SAMPLES)
    x = (centres[place] + SPREAD * rng.normal(size=(SAMPLES, WIDTH))).astype(np.float32)
    digit, split = place % DIGITS, split_by_hash(SAMPLES, [0.5, 0.1, 0.4], seed=seed)
    parity = np.where((split == 0) & (rng.random(SAMPLES) >= KNOWN), -1, digit % 2)
    write_dataset_file(file, {"x": x, "digit": digit.astype(np.int64), "parity": parity.astype(np.int64)}, split)


def job(framework: str, seed: int) -> dict[str, Any]:
    """Returns the job of a seed: each joint task, and its evaluation."""
    tasks: dict[str, Any] = {}
    for number, keys in enumerate(TASKS.values()):
        own = {key: keys[key] for key in ("inputs", "gradient") if key in keys}
        head = {"loss": "softmax_ce", "metrics": ["accuracy"]}
        tasks[f"t{number}"] = {
            "kind": "joint",
            "input": "made/x",
            "trunk": {"model": {"name": "mlp", "widths": [64], "outputs": 32}},
            "heads": {
                "digit": {"model": {"name": "mlp", "outputs": DIGITS}, "target": "made/digit", **head},
                "parity": {
                    "model": {"name": "mlp", "widths": [32], "outputs": 2},
                    "target": "made/parity",
                    "missing": -1,
                    **head,
                    **own,
                },
            },
            **({"consistency": {"agree": keys["consistency"]}} if "consistency" in keys else {}),
            "epochs": EPOCHS,
            "validate_every": 0,
        }
        tasks[f"test{number}"] = {"kind": "evaluate", "needs": {f"t{number}": "parameters"}}
        tasks[f"scores{number}"] = {"kind": "predict", "needs": {f"t{number}": "parameters"}}
    defaults = {"batch_size": 50, "framework": framework, "optimizer": {"name": "adam", "learning_rate": 0.002}}
    return {
        "hpcmtl": 1,
        "job": "coupled",
        "ranks": 2,
        "seed": seed,
        "data": {"made": "made.h5"},
        "defaults": defaults,
        "tasks": tasks,
    }


def accuracies(framework: str, seed: int) -> dict[str, tuple[float, float, float]]:
    """Runs the job of a seed; returns accuracies of both heads, and how often they agree, on the test samples."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_data(folder / "made.h5", seed)
        (folder / "job.yaml").write_text(json.dumps(job(framework, seed)))
        words = [sys.executable, "-m", "hpcmtl", "run", "job.yaml"]
        done = subprocess.run(words, cwd=folder, capture_output=True, text=True, check=False)
        if done.returncode:
            raise SystemExit(done.stdout + done.stderr)
        (directory,) = (folder / "runs").iterdir()
        tasks = json.loads((directory / "results.json").read_text())["tasks"]
        with h5py.File(folder / "made.h5") as file:
            test = file["split"][:] == 2
        found = {}
        for number, task in enumerate(TASKS):
            metrics = tasks[f"test{number}"]["metrics"]
            with h5py.File(directory / f"artifacts/scores{number}.h5") as file:
                digit, parity = (file[each][:][test].argmax(axis=1) for each in ("digit", "parity"))
            agree = float((digit % 2 == parity).mean())
            found[task] = metrics["digit.accuracy"], metrics["parity.accuracy"], agree
    return found


def run(quick: bool) -> tuple[dict[str, Any], bool]:
    """Prints the table; returns all numbers, and whether the consistency loss made the parity better in the mean."""
    seeds = SEEDS[:1] if quick else SEEDS
    found = {seed: accuracies("torch", seed) for seed in seeds}
    print(
        f"{KNOWN:.0%} of about {SAMPLES // 2} train samples have a parity; mean and deviation over {len(seeds)} seeds"
    )
    print("| heads | accuracy of digit | accuracy of parity | heads agree |\n|---|---|---|---|")
    means = {}
    for task in TASKS:
        values = np.array([found[seed][task] for seed in seeds])
        means[task] = values.mean(axis=0)
        cells = [f"{mean:.3f} ± {spread:.3f}" for mean, spread in zip(means[task], values.std(axis=0), strict=True)]
        print(f"| {task} | {' | '.join(cells)} |", flush=True)
    return {str(seed): found[seed] for seed in seeds}, bool(means["consistency"][1] > means["alone"][1])
