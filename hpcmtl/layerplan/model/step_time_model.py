"""Time of one step as a function of the number of ranks: a model with seven parameters, and its fit to measurements.

The model is that of Pollux (Qiao et al., OSDI 2021, section 3.1): computation and communication overlap by an unknown
degree, T = (Tc^g + Tn^g)^(1/g), and the network has one regime within a node and one across nodes. In Pollux the
communication time grows linearly with the ranks. Here it is that of an allreduce, with 2 log2(p) rounds and 2 (p - 1) /
p of the gradient on the wire, because a straight line through the times of 2 and 4 ranks says nothing about 512.

All parameters are positive times or ratios, so their logarithms are fitted: maximum a posteriori with a normal prior,
by damped Gauss-Newton steps (Levenberg-Marquardt). Unmeasured parameters stay at the prior. The curvature at the
optimum gives the uncertainty (Laplace approximation).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    from hpcmtl.arrays import Floats

SMALLEST = 1e-15  # s; replaces 0, which has no logarithm
STEPS, CLOSE = 60, 1e-4  # maximum number of steps; largest change of a logarithm at convergence
DIFFERENCE = 1e-6  # increment of a parameter's logarithm in forward differences


class StepParameters(NamedTuple):
    """Holds the parameters of one step of a family of tasks.

    Attributes:
        fixed: seconds per step, independent of its size.
        row: seconds per row of a rank.
        round_inside: seconds per round of the allreduce within a node.
        wire_inside: seconds for the whole gradient between two ranks of a node.
        round_across: seconds per round across nodes.
        wire_across: seconds for the whole gradient between nodes.
        overlap: g - 1; 0 if computation and communication are sequential, large if the longer one hides the shorter.
    """

    fixed: float
    row: float
    round_inside: float
    wire_inside: float
    round_across: float
    wire_across: float
    overlap: float


class Shapes(NamedTuple):
    """Holds the conditions of m steps, as arrays (m,).

    Attributes:
        ranks: number of ranks of the group.
        nodes: number of nodes that the group spans.
        rows: rows of the fullest rank.
        contention: ranks of the group per core that they share; 1 where each has its own.
    """

    ranks: Floats
    nodes: Floats
    rows: Floats
    contention: Floats


class Posterior(NamedTuple):
    """Holds a normal distribution of the logarithms of the parameters.

    Attributes:
        mean: (7,).
        covariance: (7, 7).
    """

    mean: Floats
    covariance: Floats


def prior(parameters: StepParameters, spread: StepParameters) -> Posterior:
    """Returns the prior: log-normal, with standard deviations `spread` of the logarithms."""
    return Posterior(np.log(np.maximum(parameters, SMALLEST)), np.diag(np.square(np.array(spread))))


def log_seconds(logarithms: Floats, shapes: Shapes) -> Floats:
    """Returns logarithms (..., m) of the seconds per step, for logarithms (..., 7) of the parameters."""
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
    """Returns the posterior after some steps were measured.

    Args:
        before: the prior.
        shapes: conditions of the m measurements.
        seconds: (m,) seconds per step.
        spread: (m,) standard deviation of the logarithm of each measurement.
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
    """Returns the Jacobian, (values, 7), by forward differences."""
    jacobian: Floats = ((function(at + DIFFERENCE * np.eye(len(at))) - value) / DIFFERENCE).T
    return jacobian


def uncertainty(posterior: Posterior, shapes: Shapes) -> Floats:
    """Returns standard deviations (m,) of the logarithms of the predicted seconds per step."""

    def form(at: Floats) -> Floats:
        return log_seconds(at, shapes)

    slopes = _slopes(form, posterior.mean, form(posterior.mean))
    deviation: Floats = np.sqrt(np.einsum("ij,jk,ik->i", slopes, posterior.covariance, slopes))
    return deviation
