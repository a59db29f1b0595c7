"""How long one step takes on a number of ranks: a form with seven parameters, and its fit to what was measured.

The form is that of Pollux (Qiao et al., OSDI 2021, section 3.1): computing and combining overlap by an unknown part,
T = (Tc^g + Tn^g)^(1/g), and the network has one regime within a node and one across nodes. Pollux lets the network's
time grow with the ranks; here it is that of an allreduce, with 2 log2(p) rounds and 2 (p - 1) / p of the gradient on
the wire, since a straight line from what 2 and 4 ranks took says nothing about 512.

All parameters are times or ratios above zero, so that they are fitted as logarithms: maximum a posteriori with a normal
prior, by Levenberg and Marquardt's damped Gauss-Newton steps. What was not measured stays where the prior has it, and
the curvature at the optimum tells how sure the fit is (Laplace's approximation).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    from hpcmtl.arrays import Floats

PARAMETERS = 7
SMALLEST = 1e-15  # s; stands for nothing, which has no logarithm
STEPS, CLOSE = 60, 1e-4
DIFFERENCE = 1e-6  # of a parameter's logarithm, for slopes


class Parameters(NamedTuple):
    """One step of a family of tasks.

    Attributes:
        fixed: s a step whatever its size.
        row: s a row of a rank.
        round_inside: s a round of the allreduce within a node.
        wire_inside: s for the whole gradient between two ranks of a node.
        round_across: s a round across nodes.
        wire_across: s for the whole gradient between nodes.
        overlap: g - 1: 0 if computing and combining follow each other, large if the longer hides the shorter.
    """

    fixed: float
    row: float
    round_inside: float
    wire_inside: float
    round_across: float
    wire_across: float
    overlap: float


class Shapes(NamedTuple):
    """On what steps run, as arrays (m,).

    Attributes:
        ranks: of the group.
        nodes: that it spans.
        rows: of the fullest rank.
        contention: ranks of the group for each core that they share; 1 where each has its own.
    """

    ranks: Floats
    nodes: Floats
    rows: Floats
    contention: Floats


class Posterior(NamedTuple):
    """What is known of the parameters, as a normal distribution of their logarithms.

    Attributes:
        mean: (7,).
        covariance: (7, 7).
    """

    mean: Floats
    covariance: Floats


def prior(parameters: Parameters, spread: Parameters) -> Posterior:
    """Expect some parameters, each within a factor of exp(`spread`) with the probability of one standard deviation."""
    return Posterior(np.log(np.maximum(parameters, SMALLEST)), np.diag(np.square(np.array(spread))))


def log_seconds(logarithms: Floats, shapes: Shapes) -> Floats:
    """Logarithms (..., m) of the seconds of a step, for the logarithms (..., 7) of the parameters."""
    parameters = np.moveaxis(np.exp(logarithms), -1, 0)[..., None]
    fixed, row, round_inside, wire_inside, round_across, wire_across, overlap = parameters
    ranks, nodes, rows, contention = shapes
    inside = nodes <= 1
    computing = contention * (fixed + row * rows)
    rounds = contention * 2 * np.ceil(np.log2(ranks)) * np.where(inside, round_inside, round_across)
    combining = rounds + 2 * (ranks - 1) / ranks * np.where(inside, wire_inside, wire_across)
    longer = np.maximum(computing, combining)
    ratio = np.minimum(computing, combining) / longer
    seconds: Floats = np.log(longer) + np.log1p(ratio ** (1 + overlap)) / (1 + overlap)
    return seconds


def fit(before: Posterior, shapes: Shapes, seconds: Floats, spread: Floats) -> Posterior:
    """What is known after some steps were measured.

    Args:
        before: what was known.
        shapes: of the m measurements.
        seconds: (m,) of a step.
        spread: (m,) standard deviation of the logarithm of each.
    """
    scale = np.linalg.inv(np.linalg.cholesky(before.covariance))
    measured = np.log(seconds)

    def misfit(at: Floats) -> Floats:
        return np.concatenate([(log_seconds(at, shapes) - measured) / spread, (at - before.mean) @ scale.T], axis=-1)

    at, damping = before.mean, 1e-3
    rest = misfit(at)
    slopes = _slopes(misfit, at, rest)
    for _ in range(STEPS):
        square = slopes.T @ slopes
        step = np.linalg.solve(square + damping * np.diag(square.diagonal()), -slopes.T @ rest)
        after = misfit(at + step)
        if after @ after < rest @ rest:
            at, rest, damping = at + step, after, damping / 5
            slopes = _slopes(misfit, at, rest)
        else:
            damping *= 5
        if np.abs(step).max() < CLOSE:
            break
    return Posterior(at, np.linalg.inv(slopes.T @ slopes))


def _slopes(function: Callable[[Floats], Floats], at: Floats, value: Floats) -> Floats:
    """The Jacobian, (values, 7)."""
    jacobian: Floats = ((function(at + DIFFERENCE * np.eye(len(at))) - value) / DIFFERENCE).T
    return jacobian


def uncertainty(posterior: Posterior, shapes: Shapes) -> Floats:
    """Standard deviations (m,) of the logarithms of the seconds of a step."""

    def form(at: Floats) -> Floats:
        return log_seconds(at, shapes)

    slopes = _slopes(form, posterior.mean, form(posterior.mean))
    deviation: Floats = np.sqrt(np.einsum("ij,jk,ik->i", slopes, posterior.covariance, slopes))
    return deviation
