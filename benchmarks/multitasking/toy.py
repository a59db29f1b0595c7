"""The published toy problem of two losses in two dimensions, from five starts: does a method reach the Pareto set?

Liu et al., "Conflict-averse gradient descent for multi-task learning" (NeurIPS 2021), with the five starts and the
factor 0.1 on the first loss of Navon et al. (ICML 2022). Adam takes 50,000 steps of 0.001 along each method's update,
or fewer, if a point has stayed on the Pareto set for 1,000 of them.

Points and gradients are float32, as in the published programs: some ends are chaotic. From a start near the ridges of
the logarithms the time until a method leaves them depends on rounding; weights are float64.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import numpy as np

from hpcmtl.training.multitask.methods import make_method
from hpcmtl.training.multitask.weighting import ObjectiveMeasurements
from hpcmtl.training.multitask.weightings.base import WeightingSetup

if TYPE_CHECKING:
    from hpcmtl.arrays import Bools, Floats

STARTS = np.array([[-8.5, 7.5], [0.0, 0.0], [9.0, 9.0], [-7.5, -0.5], [9.0, -1.0]])
SCALES = (0.1, 1.0)
STEPS, STAY, RATE, LEAST = 50_000, 1_000, 0.001, 5e-6
PARETO, END, NEAR = -8.3552, 7.0, 0.1
METHODS: dict[str, dict[str, Any]] = {
    "equal": {},
    "pcgrad": {},
    "upgrad": {},
    "cagrad": {"c": 0.4},
    "mgda": {},
    "imtl_g": {},
    "nash_mtl": {},
    "famo": {"weight_decay": 0.0},  # as its authors for this problem, whose batches are all the same
}
QUICK = ("equal", "mgda")
# Hits of five at the factors 0.1 and 1: those published for the first, and those of an earlier program for both. PCGrad
# and UPGrad, which is half of it for two objectives, have two chaotic starts at 1: of 12 points within 0.00001 of the
# first start 4 to 6 hit, of those of the third 0 to 2, in float32 and float64; all others hit always.
EXPECTED: dict[str, tuple[set[int], set[int]]] = (
    dict.fromkeys(METHODS, ({4}, {3}))
    | dict.fromkeys(("pcgrad", "upgrad"), ({4}, {3, 4, 5}))
    | dict.fromkeys(("mgda", "imtl_g", "nash_mtl", "famo"), ({5}, {5}))
)


def losses_and_gradients(points: Floats, scale: float) -> tuple[Floats, Floats]:
    """Returns (starts, 2) losses and (starts, 2, 2) gradients, a row for each loss.

    At a bound of `max` the gradient passes, as in PyTorch: else the start (0, 0) would never move.
    """
    x, y = points.T
    tanh, half = np.tanh(y), np.tanh(y / 2)
    slope, half_slope = 1 - tanh**2, 0.5 * (1 - half**2)
    upper, lower = np.maximum(half, 0), np.maximum(-half, 0)
    upper_slope, lower_slope = np.where(half >= 0, half_slope, 0), np.where(half <= 0, -half_slope, 0)
    losses, gradients = [], []
    for inner, inner_y, centre in ((-0.5 * (x + 7) + tanh, slope, 7.0), (-0.5 * (x - 3) - tanh + 2, -slope, -7.0)):
        bounded = np.abs(inner) >= LEAST
        logarithm = np.log(np.maximum(np.abs(inner), LEAST)) + 6
        inverse = np.where(bounded, 1 / np.where(bounded, inner, 1), 0)
        square = ((centre - x) ** 2 + 0.1 * (y + 8) ** 2) / 10 - 20
        losses.append(logarithm * upper + square * lower)
        by_x = -0.5 * inverse * upper - 0.2 * (centre - x) * lower
        by_y = inverse * inner_y * upper + logarithm * upper_slope + 0.02 * (y + 8) * lower + square * lower_slope
        gradients.append(np.stack([by_x, by_y], axis=1))
    factors = np.array([scale, 1.0], dtype=points.dtype)
    return np.stack(losses, axis=1) * factors, np.stack(gradients, axis=1) * factors[:, None]


def end_points(name: str, options: dict[str, Any], scale: float) -> Floats:
    """Returns where a method is after all steps, or after it has been on the Pareto set for some, from each start."""
    if name == "famo":
        options = {**options, "least_losses": [-21 * scale, -21]}
    setup = WeightingSetup(objectives=("first", "second"))
    weightings = [make_method(name, options, setup).weighting for _ in STARTS]
    ends = STARTS.astype(np.float32)
    moments, stayed = np.zeros((2, *ends.shape), np.float32), np.zeros(len(ends), int)
    for step in range(1, STEPS + 1):
        (open_,) = np.nonzero(stayed < STAY)
        if not len(open_):
            break
        losses, gradients = losses_and_gradients(ends[open_], scale)
        wide = gradients.astype(np.float64)
        weights = [
            weighting.weights(
                ObjectiveMeasurements(
                    current_losses=own, losses_after=own if step > 1 else None, gramian=rows @ rows.T, epoch=0
                )
            )
            for place, own, rows in zip(open_, losses, wide, strict=True)
            if (weighting := weightings[place]) is not None
        ]
        update = np.einsum("st,stp->sp", np.array(weights), wide).astype(np.float32)
        mean, square = moments[:, open_]
        mean, square = 0.9 * mean + 0.1 * update, 0.999 * square + 0.001 * update**2
        moments[:, open_] = mean, square
        ends[open_] -= RATE * mean / (1 - 0.9**step) / (np.sqrt(square / (1 - 0.999**step)) + 1e-8)
        stayed[open_] = np.where(on_pareto_set(ends[open_]), stayed[open_] + 1, 0)
    return ends


def on_pareto_set(points: Floats) -> Bools:
    """Tells which points lie on the Pareto set, the line y = -8.3552 from x = -7 to 7, within 0.1."""
    found: Bools = (np.abs(points[:, 1] - PARETO) < NEAR) & (np.abs(points[:, 0]) < END + NEAR)
    return found


def run(quick: bool) -> tuple[dict[str, Any], bool]:
    """Prints the table; returns all numbers, and whether the hits are the expected ones.

    Args:
        quick: two methods alone, at the factor 0.1.
    """
    found: dict[str, Any] = {}
    scales = SCALES[:1] if quick else SCALES
    print("| method | factor | hits | expected | end points | seconds |")
    print("|---|---|---|---|---|---|")
    as_expected = True
    for name in QUICK if quick else METHODS:
        found[name] = {}
        for scale, expected in zip(scales, EXPECTED[name], strict=not quick):
            begin = time.process_time()
            ends = end_points(name, METHODS[name], scale)
            seconds, count = time.process_time() - begin, int(on_pareto_set(ends).sum())
            as_expected &= count in expected
            wanted = " or ".join(map(str, sorted(expected)))
            places = " ".join(f"({x:.2f}, {y:.2f})" for x, y in ends)
            print(f"| {name} | {scale} | {count}/5 | {wanted} | {places} | {seconds:.0f} |", flush=True)
            found[name][str(scale)] = {"hits": count, "expected": sorted(expected), "ends": ends.tolist()}
    return found, as_expected
