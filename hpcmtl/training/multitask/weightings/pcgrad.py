"""PCGrad: each gradient loses what conflicts with the others."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from hpcmtl.training.multitask.weightings.base import GramianWeighting, NoOptions
from hpcmtl.training.multitask.weightings.random_stream import orders_of_others, step_counter, step_generator

if TYPE_CHECKING:
    from hpcmtl.arrays import Arrays, Floats, Ints


def projected_conflicts(gramian: Floats, orders: Ints) -> Floats:
    """Returns coefficients of the projected gradients, a row each.

    All rows go through their own order at once: they do not depend on each other.

    Args:
        gramian: (objectives, objectives) inner products.
        orders: (objectives, objectives - 1) order of the others for each objective.
    """
    count = len(gramian)
    rows, coefficients, squares = np.arange(count), np.eye(count), gramian.diagonal()
    for others in orders.T:
        products = np.einsum("ij,ij->i", gramian[others], coefficients)
        conflict = (products < 0) & (squares[others] > 0)
        coefficients[rows[conflict], others[conflict]] -= products[conflict] / squares[others[conflict]]
    return coefficients


class PCGrad(GramianWeighting[NoOptions]):
    """Weights of the sum of gradients, from each of which its part against others is removed, in random order.

    Yu et al., "Gradient surgery for multi-task learning" (NeurIPS 2020, algorithm 1). Inner products with the original
    gradients are sums of entries of the Gramian, so that coefficients are enough. The orders come from the seed of the
    task and the step.
    """

    def _initial(self) -> Arrays:
        return {"step": np.array(0)}

    def from_gramian(self, gramian: Floats) -> Floats:
        """See `GramianWeighting`."""
        generator = step_generator(self.setup.seed, step_counter(self.values))
        largest = gramian.diagonal().max()
        scaled = gramian / largest if largest > 0 else gramian
        weights: Floats = projected_conflicts(scaled, orders_of_others(generator, self.count)).sum(axis=0)
        return weights
