"""Largest differences between trainings on one rank and on several, for each method and framework."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from hpcmtl.communicators.inproc import run_ranks
from hpcmtl.networks.models import Mlp
from hpcmtl.training.multitask.methods import METHODS, make_method
from hpcmtl.training.multitask.step_gradients import MEASURED
from hpcmtl.training.multitask.weightings.base import WeightingSetup
from multitasking.problem import measured_by, objectives_of, replica_by, share_of, step_inputs

BAR = 1e-5
BARS = {"famo": 1e-4}
"""FAMO learns from how much the logarithm of a loss falls in one step, some 0.003: the rounding of the losses, 1e-7 in
float32, is 3e-5 of it, and Adam's rule passes that on whatever the size of the fall (measured, in both frameworks)."""
WAYS: dict[str, tuple[str, dict[str, Any], tuple[str, ...]]] = {
    "nash_mtl, every: 3": ("nash_mtl", {"every": 3}, ("torch", "gluon")),
    "mgda, features": ("mgda", {"gradients_at": "features"}, ("torch", "gluon")),
    "mgda, last_shared_layer": ("mgda", {"gradients_at": "last_shared_layer"}, ("torch",)),
}
"""Ways to measure gradients for less that are exact over ranks: method, keys and frameworks."""
STEPS, QUICK_STEPS = 50, 6
RANKS, QUICK_RANKS = (2, 3, 4), (3,)
SHAPE, TRUNK, COUNT = (12,), Mlp(widths=(16,), outputs=8, activation="tanh"), 3
SIZES = (32, 32, 7, 3)  # the last batches of an epoch are short: there are ranks without a row
MISSING = 0.3


def measured(name: str) -> bool:
    """Returns whether training measures what a method needs."""
    setup = WeightingSetup(objectives=tuple(each.name for each in objectives_of(COUNT)))
    weighting = make_method(name, {"fixed": {"weights": [1.0] * COUNT}}.get(name, {}), setup).weighting
    return weighting is None or weighting.needs <= MEASURED


def trained(group: Any, name: str, library: str, steps: int) -> dict[str, np.ndarray]:
    """Returns the parameters after some steps."""
    method, measuring, _ = WAYS.get(name, (name, {}, ()))
    replica = replica_by(method, library, TRUNK, SHAPE, COUNT, group=group)
    if measuring:
        measured_by(replica, method, COUNT, measuring)
    batches = step_inputs(SHAPE, COUNT, [SIZES[step % len(SIZES)] for step in range(steps)], missing=MISSING)
    for number, batch in enumerate(batches):
        replica.step(share_of(batch, group.rank, group.size), 0.02, number)
    found = replica.learner.parameters_matching("*")
    replica.close()
    return found


def largest(one: dict[str, np.ndarray], other: dict[str, np.ndarray]) -> float:
    """Returns the largest difference between parameters, relative to the largest value of each."""
    return max(float(np.abs(other[name] - array).max() / np.abs(array).max()) for name, array in one.items())


def surgery_on_each_rank(steps: int) -> float:
    """Returns the difference that PCGrad on each rank alone makes, with means over two ranks as in plain programs."""
    (whole,) = run_ranks(1, trained, "pcgrad", "torch", steps)
    (replica,) = run_ranks(1, lambda group: replica_by("pcgrad", "torch", TRUNK, SHAPE, COUNT, group=group))
    batches = step_inputs(SHAPE, COUNT, [SIZES[step % len(SIZES)] for step in range(steps)], missing=MISSING)
    for number, batch in enumerate(batches):
        start, ends = replica.learner.parameters_matching("*"), []
        for rank in range(2):
            share = share_of(batch, rank, 2)
            replica.learner.set_parameters(start)
            # Twice the weight: the mean over both ranks is that of the batch.
            replica.step(replace(share, weights=share.weights * 2, ranks=1, filler=False), 0.02, number)
            ends.append(replica.learner.parameters_matching("*"))
        replica.learner.set_parameters({name: (ends[0][name] + ends[1][name]) / 2 for name in start})
    return largest(whole, replica.learner.parameters_matching("*"))


def run(quick: bool) -> tuple[dict[str, Any], bool]:
    """Prints the table; returns all numbers, and whether all are below the bar."""
    steps, widths = (QUICK_STEPS, QUICK_RANKS) if quick else (STEPS, RANKS)
    names = [*filter(measured, METHODS), *WAYS]
    found: dict[str, Any] = {}
    print("| method | framework | " + " | ".join(f"{ranks} ranks" for ranks in widths) + " |")
    print("|---" * (2 + len(widths)) + "|")
    for name in names:
        for library in WAYS[name][2] if name in WAYS else ("torch", "gluon"):
            (one,) = run_ranks(1, trained, name, library, steps)
            apart = [largest(one, run_ranks(ranks, trained, name, library, steps)[0]) for ranks in widths]
            found[f"{name} {library}"] = dict(zip(map(str, widths), apart, strict=True))
            texts = " | ".join(f"{each:.1e}" if each <= BARS.get(name, BAR) else f"**{each:.1e}**" for each in apart)
            print(f"| {name} | {library} | {texts} |", flush=True)
    wrong = found["pcgrad on each rank"] = surgery_on_each_rank(steps)
    print(f"PCGrad on each of two ranks alone differs by {wrong:.1e}: another method, which this check must see")
    good = all(
        each <= BARS.get(key.split()[0], BAR)
        for key, row in found.items()
        if isinstance(row, dict)
        for each in row.values()
    )
    return found, good and wrong > 10 * BAR
