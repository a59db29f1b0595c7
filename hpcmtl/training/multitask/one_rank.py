"""Gradients of a step on one rank, by inner products of those of the objectives where a learner has a short way."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hpcmtl.training.multitask.group_step import GradientRoute, GroupStep


class ProductsOnOneRank:
    """Weighs the objectives by inner products from the learner, on a group of one rank; see `GradientRoute`.

    All other steps take another route: those of more ranks, those with a loss scale, which look at all gradients, and
    those of a learner that has no short way for this batch.
    """

    def __init__(self, otherwise: GradientRoute) -> None:
        """Takes the route of all other steps."""
        self._otherwise = otherwise

    def compute(self, step: GroupStep) -> float | None:
        """See `GradientRoute`."""
        alone = step.strategy.group.size == 1 and step.loss_scale == 1
        factors = step.losses.factors.tolist()
        products = step.learner.inner_products(step.batch, factors, step.scale) if alone else None
        if products is None:
            return self._otherwise.compute(step)
        gramian = products.gramian
        weights = step.weigh(replace(step.with_newest_losses(), gramian=gramian), gramian)
        products.combine(weights.tolist())
        return step.strategy.after_backward(step.learner, "private_gradients")
