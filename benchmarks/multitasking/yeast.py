"""Yeast: one joint task with 14 heads, and 14 separate tasks, one after the other and side by side.

The joint task and each separate one have the same trunk, epochs and batches. Times are from the start of the first task
layer to the end of the last one: without the start of Python and MPI, which all ways have. Tasks one after the other
have one rank each, as the joint task has; on two ranks such small networks are slower. Each round has another seed; the
ways take turns.
"""

from __future__ import annotations

import itertools
import statistics
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np

import hpcmtl
from multitasking.data_files import built
from multitasking.family import FinishedRun, job_of, run_job
from multitasking.spread import Rows, print_table

if TYPE_CHECKING:
    from numpy.typing import NDArray

LABELS = tuple(f"Class{number}" for number in range(1, 15))
EPOCHS, QUICK_EPOCHS, ROUNDS, QUICK_ROUNDS = 40, 2, 5, 1
DEFAULTS = {"batch_size": 64, "optimizer": {"name": "adam", "learning_rate": 0.001}}
BARS = {"one after the other": 5.0, "side by side": 1.0}
"""Way -> least time of it over that of the joint task."""
F1_BAR = 0.01
"""Most that the joint task's micro F1 may lie below that of separate tasks, in the mean."""
TEST = 2


def joint(labels: tuple[str, ...], epochs: int) -> dict[str, Any]:
    """Returns a joint task with a head for each label; with one label it is a task by itself."""
    head = {"model": {"name": "mlp", "outputs": 2}, "loss": "softmax_ce"}
    return {
        "kind": "joint",
        "input": "yeast/inputs",
        "trunk": {"model": {"name": "mlp", "widths": [64], "outputs": 32}},
        "heads": {label: {**head, "target": f"yeast/{label}"} for label in labels},
        "epochs": epochs,
        "validate_every": 0,
    }


def ways(epochs: int) -> dict[str, dict[str, Any]]:
    """Returns the tasks of each way."""
    whole = {
        "kind": "train",
        "model": {"name": "mlp", "widths": [64, 32], "outputs": len(LABELS)},
        "input": "yeast/inputs",
        "target": "yeast/labels",
        "loss": "sigmoid_bce",
        "epochs": epochs,
        "validate_every": 0,
    }
    separate = {label: joint((label,), epochs) for label in LABELS}
    chain = {label: {**task, "ranks": 1} for label, task in separate.items()}
    for before, label in itertools.pairwise(LABELS):
        chain[label]["needs"] = {before: "order"}
    return {
        "joint, 14 heads": {"joint": joint(LABELS, epochs)},
        "one head with 14 logits": {"labels": whole},
        "one after the other": chain,
        "side by side": separate,
    }


def f1(predicted: NDArray[np.bool_], known: NDArray[np.bool_]) -> tuple[float, float]:
    """Returns F1 over all labels together, and the mean of the F1 of each label (0 without a true positive)."""
    hits, both = (predicted & known).sum(axis=0), predicted.sum(axis=0) + known.sum(axis=0)
    each = 2 * hits / np.maximum(both, 1)
    return float(2 * hits.sum() / both.sum()), float(each.mean())


def predicted_labels(run: FinishedRun, inputs: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Returns the labels (samples, 14) that the networks of a run predict."""
    found: dict[str, NDArray[np.bool_]] = {}
    for path in sorted((run.directory / "artifacts").glob("*.h5")):
        for name, logits in hpcmtl.load(path).network.outputs(inputs).items():
            if name == "main":  # one network of all labels
                return np.asarray(logits > 0)
            found[name] = logits[:, 1] > logits[:, 0]
    return np.stack([found[label] for label in LABELS], axis=1)


def run(quick: bool) -> tuple[dict[str, Any], bool]:
    """Prints the table; returns all numbers, and whether times and F1 meet their bars."""
    epochs, rounds = (QUICK_EPOCHS, QUICK_ROUNDS) if quick else (EPOCHS, ROUNDS)
    rows: Rows = {}
    with tempfile.TemporaryDirectory() as scratch:
        path = built("yeast", "river", Path(scratch))
        with h5py.File(path) as file:
            test = file["split"][:] == TEST
            inputs, known = file["inputs"][:][test], file["labels"][:][test] > 0
        for seed in range(rounds):
            for number, (way, tasks) in enumerate(ways(epochs).items()):
                job = {**job_of("yeast", {"yeast": path}, tasks, **DEFAULTS), "seed": seed}
                done = run_job(job, Path(scratch) / f"{seed}-{number}")
                micro, macro = f1(predicted_labels(done, inputs), known)
                values = {"micro F1": micro, "macro F1": macro, "seconds": done.seconds}
                for column, value in {**values, "seconds of the command": done.command_seconds}.items():
                    rows.setdefault(way, {}).setdefault(column, []).append(value)
    found: dict[str, Any] = print_table("way", rows)
    good = True
    for way, bar in BARS.items():
        pairs = zip(rows[way]["seconds"], rows["joint, 14 heads"]["seconds"], strict=True)
        ratio = found[way]["over the joint task"] = statistics.median(other / own for other, own in pairs)
        good &= quick or ratio >= bar
        print(f"14 tasks {way} take {ratio:.2f} of the time of the joint task; the bar is {bar}")
    behind = found["side by side"]["micro F1"]["mean"] - found["joint, 14 heads"]["micro F1"]["mean"]
    print(f"micro F1 of the joint task is {-behind:+.3f} beside that of separate tasks; the bar is {-F1_BAR}")
    return found, good and (quick or behind <= F1_BAR)
