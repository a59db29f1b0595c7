"""The processor time of one call of each method, for 2, 10 and 40 objectives."""

from __future__ import annotations

import time
import timeit
from typing import Any

import numpy as np

from hpcmtl.training.multitask.methods import METHODS, make_method
from hpcmtl.training.multitask.weighting import ObjectiveMeasurements
from hpcmtl.training.multitask.weightings.base import WeightingSetup

COUNTS = (2, 10, 40)
BARS = {10: 0.3, 40: 5.0}
WIDTH_OVER_COUNT = 20
GRAMIANS, ROUNDS = 8, 9


def milliseconds(name: str, count: int, rounds: int) -> float | None:
    """Returns the least of the rounds' mean times of a call, each with another Gramian; None without weights.

    Gradients have a common part and unequal norms; about half of all pairs conflict.
    """
    options = {"fixed": {"weights": [1] * count}, "trimmed_mean": {"trim": 0}}.get(name, {})
    setup = WeightingSetup(objectives=tuple(map(str, range(count))))
    weighting = make_method(name, options, setup).weighting
    if weighting is None:
        return None
    random, steps = np.random.default_rng(0), []
    for _ in range(GRAMIANS):
        rows = random.normal(size=(count, count + WIDTH_OVER_COUNT)) * np.exp(random.normal(size=(count, 1)))
        losses = 0.5 + random.random(count)
        steps.append(
            ObjectiveMeasurements(
                losses=losses,
                current_losses=losses,
                losses_after=losses * 0.9,
                gramian=rows @ rows.T,
                cross_gramian=rows @ rows[::-1].T,
                validation_products=losses,
                epoch=0,
            )
        )
    times = timeit.repeat(
        lambda: [weighting.weights(step) for step in steps], number=3, repeat=rounds, timer=time.process_time
    )
    return min(times) / 3 / GRAMIANS * 1e3


def run(quick: bool) -> tuple[dict[str, Any], bool]:
    """Prints the table; returns all numbers, and whether all are below the bars."""
    found: dict[str, Any] = {}
    print("| method | " + " | ".join(f"T={count}, ms" for count in COUNTS) + " |")
    print("|---" * (len(COUNTS) + 1) + "|")
    within = True
    for name in METHODS:
        times = [milliseconds(name, count, 3 if quick else ROUNDS) for count in COUNTS]
        if None in times:
            continue
        found[name] = dict(zip(map(str, COUNTS), times, strict=True))
        slow = [count for count, bar in BARS.items() if found[name][str(count)] > bar]
        within &= not slow
        texts = [
            f"**{each:.3f}**" if count in slow else f"{each:.3f}" for count, each in zip(COUNTS, times, strict=True)
        ]
        print(f"| {name} | {' | '.join(texts)} |", flush=True)
    return found, within
