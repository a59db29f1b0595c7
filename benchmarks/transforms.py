"""Measures what transforms cost a training: the share of a step spent waiting for data, and the images a second.

usage: python benchmarks/transforms.py [--rounds 5] [--ranks 1,2] [--json FILE]

Each round runs one task without transforms and with each list of them, one after the other, on 6,000 images of
1 x 28 x 28, which are kept in memory. A ratio compares a run with the one without transforms of the same round. The
bar: with all ready-made transforms, one rank waits for data for less than 0.05 of its time.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from hpcmtl.data.hdf5 import write_dataset_file
from hpcmtl.results import ledger

ROOT = Path(__file__).resolve().parent.parent
IMAGES, EPOCHS = 6000, 3
CROP, NOISE = {"name": "crop", "padding": 2}, {"name": "noise", "deviation": 0.1}
CASES: dict[str, list[Any]] = {
    "none": [],
    "normalise": ["normalise"],
    "flip, crop": ["flip", CROP],
    "noise": [NOISE],
    "mixup": ["mixup"],
    "all five": ["normalise", "flip", CROP, NOISE, {"name": "cutout", "size": 8}],
    "own, a generator for each sample": ["own:jitter"],
}
OWN = """
import numpy as np


def jitter(inputs, rows, random):
    return inputs + np.stack([each.normal(0, 0.1, inputs.shape[1:]) for each in random.generators()])
"""
WAITING = 0.05


def measured(folder: Path, transform: list[Any], ranks: int) -> tuple[float, float]:
    """Returns images a second and the share of waiting of one run, by the layers after the first one."""
    model = {"name": "convnet", "channels": [16, 32], "widths": [64], "outputs": 10}
    net = {"kind": "train", "model": model, "input": "images/x", "target": "images/y"}
    keys = {"loss": "softmax_ce", "epochs": EPOCHS, "layers": EPOCHS, "ranks": ranks, "transform": transform}
    job = {
        "hpcmtl": 1,
        "job": "cost",
        "ranks": ranks,
        "data": {"images": "images.h5"},
        "tasks": {"net": {**net, **keys}},
    }
    (folder / "job.yaml").write_text(yaml.safe_dump(job))
    command = [sys.executable, "-m", "hpcmtl", "run", "job.yaml", "--runs", "runs"]
    environ = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    subprocess.run(command, cwd=folder, env=environ, check=True, stdout=subprocess.DEVNULL)
    newest = max((folder / "runs").iterdir(), key=lambda path: path.stat().st_mtime)
    layers = [event for event in ledger.read(newest / "events.jsonl") if event["event"] == "layer_ended"][1:]
    seconds = sum(layer["steps"] * layer["step_seconds"] for layer in layers)
    images = IMAGES * len(layers)
    return images / seconds, statistics.mean(layer["facts"]["data_wait"] for layer in layers)


def main() -> int:
    """Measures all cases, prints the table, and returns 0 if the bar is met."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--ranks", default="1,2")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    rng, found = np.random.default_rng(0), {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        images = rng.random((IMAGES, 1, 28, 28), dtype=np.float32)
        write_dataset_file(
            folder / "images.h5", {"x": images, "y": rng.integers(0, 10, IMAGES)}, np.zeros(IMAGES, np.int64)
        )
        (folder / "own.py").write_text(OWN)
        for ranks in map(int, given.ranks.split(",")):
            rounds = [
                {case: measured(folder, each, ranks) for case, each in CASES.items()} for _ in range(given.rounds)
            ]
            for case in CASES:
                ratio = statistics.median(each[case][0] / each["none"][0] for each in rounds)
                rate, wait = (statistics.median(each[case][place] for each in rounds) for place in (0, 1))
                found[f"{case}, {ranks}"] = {"images_per_second": rate, "data_wait": wait, "ratio": ratio}
                print(f"| {case} | {ranks} | {rate:.0f} | {ratio:.2f} | {100 * wait:.1f} % |")
    if given.json:
        given.json.write_text(json.dumps(found, indent=1))
    together = found.get("all five, 1")
    return int(together is not None and together["data_wait"] > WAITING)


if __name__ == "__main__":
    sys.exit(main())
