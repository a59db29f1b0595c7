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
    count = len(gramian)
    rows, coefficients = np.arange(count), np.eye(count)
    lengths = np.sqrt(np.maximum(gramian.diagonal(), 0.0))
    products, squares = gramian.copy(), lengths**2  # of the changed gradients with the original ones, and themselves
    for others in orders.T:
        own, other = np.sqrt(np.maximum(squares, 0.0)), lengths[others]
        product = products[rows, others]
        cosine = product / (own * other + _EPSILON)
        target = usual[rows, others]
        sine, target_sine = np.sqrt(np.maximum(1 - cosine**2, 0.0)), np.sqrt(np.maximum(1 - target**2, 0.0))
        added = own * (target * sine - cosine * target_sine) / (other * target_sine + _EPSILON)
        added = np.where(cosine < target, added, 0.0)
        coefficients[rows, others] += added
        products += added[:, None] * gramian[others]
        squares += added * (2 * product + added * other**2)
        usual[rows, others] = (1 - beta) * target + beta * cosine
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
