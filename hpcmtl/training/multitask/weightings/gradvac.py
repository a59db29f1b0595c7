"""GradVac: gradients are brought to the angles that they usually have."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import numpy as np
from pydantic import Field

from hpcmtl.networks.spec import Spec
from hpcmtl.training.multitask.weightings.base import GramianWeighting
from hpcmtl.training.multitask.weightings.random_stream import orders_of_others, step_counter, step_generator

if TYPE_CHECKING:
    from hpcmtl.arrays import Arrays, Floats, Ints

_EPSILON = 1e-8


class GradVacOptions(Spec):
    """Options of `gradvac`."""

    beta: Annotated[float, Field(ge=0, le=1, description="share of the present cosine in the mean")] = 0.5


def vaccinated(gramian: Floats, usual: Floats, orders: Ints, beta: float) -> Floats:
    """Returns coefficients of the changed gradients, a row each, and brings the usual cosines up to date.

    Args:
        gramian: (objectives, objectives) inner products, of which none is above 1.
        usual: (objectives, objectives) exponential means of cosines, which change.
        orders: (objectives, objectives - 1) order of the others for each objective.
        beta: share of the present cosine in the mean.
    """
    count, steps = len(gramian), orders.T
    rows = np.arange(count)
    lengths, others = np.sqrt(np.maximum(gramian.diagonal(), 0.0)), gramian[steps]
    # Each pair comes once, so that all that does not depend on the changed gradients is known before.
    targets, other_lengths = usual[rows, steps], lengths[steps]
    sines = np.sqrt(np.maximum(1 - targets**2, 0.0))
    divisors = other_lengths * sines + _EPSILON
    added, cosines = np.zeros_like(targets), np.zeros_like(targets)
    products, squares = gramian.copy(), lengths**2  # of the changed gradients with the original ones, and themselves
    for place, step in enumerate(steps):
        own, product = np.sqrt(np.maximum(squares, 0.0)), products[rows, step]
        cosine = product / (own * other_lengths[place] + _EPSILON)
        cosines[place] = cosine
        sine = np.sqrt(np.maximum(1 - cosine * cosine, 0.0))
        towards = own * (targets[place] * sine - cosine * sines[place]) / divisors[place]
        towards[cosine >= targets[place]] = 0.0
        added[place] = towards
        products += towards[:, None] * others[place]
        squares += towards * (2 * product + towards * other_lengths[place] ** 2)
    usual[rows, steps] = (1 - beta) * targets + beta * cosines
    coefficients = np.eye(count)
    coefficients[rows, steps] = added
    return coefficients


class GradVac(GramianWeighting[GradVacOptions]):
    """Weights of the sum of gradients, each turned towards those to which it usually has a smaller angle.

    Wang et al., "Gradient vaccine: investigating and improving multi-task optimization in massively multilingual
    models" (ICLR 2021, algorithm 1). Random orders as in `PCGrad`.
    """

    def _initial(self) -> Arrays:
        return {"step": np.array(0), "cosines": np.zeros((self.count, self.count))}

    def from_gramian(self, gramian: Floats) -> Floats:
        """See `GramianWeighting`."""
        generator = step_generator(self.setup.seed, step_counter(self.values))
        largest = gramian.diagonal().max()
        scaled = gramian / largest if largest > 0 else gramian
        orders = orders_of_others(generator, self.count)
        usual = self.values["cosines"] = self.values["cosines"].copy()
        weights: Floats = vaccinated(scaled, usual, orders, self.options.beta).sum(axis=0)
        return weights
