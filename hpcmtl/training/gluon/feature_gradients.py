"""Gradients of objectives by the output of the trunk: backward passes of the heads alone, and one of the trunk."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from hpcmtl.training.gluon.compat import import_mxnet
from hpcmtl.training.gluon.losses import shares_of
from hpcmtl.training.gluon.objective_gradients import kept
from hpcmtl.training.gluon.random_numbers import seed_all

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hpcmtl.arrays import Floats
    from hpcmtl.training.gluon.losses import TrainingLoss
    from hpcmtl.training.step_input import StepInput

mx = import_mxnet()


class FeaturePasses:
    """Runs the passes of one step, with the graph cut at the output of the trunk.

    MXNet differentiates by variables alone, so that the heads get a copy of the features that is one. A pass that draws
    random numbers is repeated with the same ones before each backward pass, see `passes_of`.
    """

    def __init__(self, loss: TrainingLoss, batch: StepInput, keep: Sequence[Any], seed: int | None) -> None:
        """Runs the forward pass.

        Args:
            loss: network, with a trunk and heads, and losses.
            batch: this rank's share of the batch.
            keep: NDArrays that a pass changes and that count one pass alone.
            seed: seed of the random numbers of the step; None if none are drawn.
        """
        self._loss, self._batch, self._keep, self._seed = loss, batch, keep, seed
        self._before = list[Any]()
        self._forward()

    def _forward(self) -> None:
        if self._seed is not None:
            kept(self._keep, self._before)
            seed_all(self._seed)
        with mx.autograd.record():
            self._features = self._loss.block.trunk(*self._loss.samples(self._batch.inputs))
            self._given = self._features.detach()
            self._given.attach_grad()
            self._losses = self._loss.losses_of(self._loss.block.heads(self._given), self._batch.targets)
        if self._seed is None:
            kept(self._keep, self._before)

    def shares(self) -> Floats:
        """Returns this rank's shares of the mean losses."""
        return shares_of(self._losses, self._batch)

    def rows(self, factors: Sequence[float]) -> np.ndarray[Any, Any]:
        """Returns the gradients of the objectives, times their factors, by the features: (objectives, values)."""
        rows = np.zeros((len(factors), self._given.size), np.float32)
        for number, factor in enumerate(factors):
            chosen = [factor if each == number else 0.0 for each in range(len(factors))]
            self._loss.backward_from(self._losses, self._batch, chosen, retain_graph=self._seed is None)
            rows[number] = self._given.grad.asnumpy().ravel()
            if self._seed is None:
                kept(self._keep, self._before)
            else:
                self._forward()
        return rows

    def backward(self, factors: Sequence[float], *, trains_trunk: bool) -> list[Any]:
        """Computes the gradients of the sum of all losses times their factors; returns the losses."""
        self._loss.clear()
        self._loss.backward_from(self._losses, self._batch, factors)
        if trains_trunk:
            mx.autograd.backward([self._features], [self._given.grad])
        return self._losses
