"""The training passes of the steps of a Gluon learner, and their losses until they are collected."""

from __future__ import annotations

from contextlib import nullcontext
from functools import cached_property
from typing import TYPE_CHECKING, Any

from hpcmtl.training.gluon.compat import import_mxnet
from hpcmtl.training.gluon.feature_gradients import FeaturePasses
from hpcmtl.training.gluon.gradient_products import ProductPasses, TappedProducts
from hpcmtl.training.gluon.losses import TrainingLoss, shares_of
from hpcmtl.training.gluon.objective_gradients import GradientsOfObjectives, passes_of
from hpcmtl.training.gluon.parameters import reached_parameters
from hpcmtl.training.gluon.random_numbers import seed_all
from hpcmtl.training.learner import STEPS_IN_FLIGHT
from hpcmtl.training.micro_batches import micro_batches, portions_of
from hpcmtl.training.objective_rows import invertible, losses_reach
from hpcmtl.training.pending_losses import PendingLosses

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from contextlib import AbstractContextManager

    import numpy as np

    from hpcmtl.arrays import Floats
    from hpcmtl.networks.objective import Objective
    from hpcmtl.training.gluon.group_sum import GluonGroupSum
    from hpcmtl.training.gluon.network import GluonNetwork
    from hpcmtl.training.gluon.statistics import BatchStatistics
    from hpcmtl.training.learner_settings import LearnerSettings
    from hpcmtl.training.objective_rows import ObjectiveWeights
    from hpcmtl.training.step_input import StepInput

mx = import_mxnet()


class GluonPasses:
    """Runs the passes of steps; see `Learner`.

    Attributes:
        pending: losses that are not collected.
    """

    def __init__(
        self,
        network: GluonNetwork,
        trained: Mapping[str, Any],
        loss: TrainingLoss,
        statistics: BatchStatistics,
        *,
        group: GluonGroupSum | None,
        settings: LearnerSettings,
    ) -> None:
        """Takes a network and its trained parameters, its losses, what its batch normalisations need, and settings."""
        self._network, self._trained, self._loss = network, trained, loss
        self._statistics, self._group, self._accumulate = statistics, group, settings.accumulate
        self._consistency = settings.consistency
        self._each: GradientsOfObjectives | None = None  # made when it is needed
        self._products: ProductPasses | None = None  # likewise
        self.pending = PendingLosses(loss.count, lambda loss: loss.asnumpy())

    @cached_property
    def reached(self) -> list[frozenset[str]]:
        """Names of the trained parameters that each objective depends on."""
        return reached_parameters(self._network.block, self._trained, len(self._network.values))

    @property
    def private(self) -> tuple[str, ...]:
        """Names of the trained parameters that only one objective depends on."""
        return self._objective_gradients().private

    def forward_backward(self, batch: StepInput, weights: ObjectiveWeights, scale: float) -> None:
        """See `Learner`."""
        self._begin(batch)
        self._loss.clear()
        with self._under_way(batch):
            losses = [self._loss.backward(part, weights, scale) for part in micro_batches(batch, self._accumulate)]
        self._end(batch, losses)

    def backward_each(
        self,
        batch: StepInput,
        factors: Sequence[float],
        rows: np.ndarray[Any, Any],
        seed: int | None,
        portions: Floats | None = None,
    ) -> Iterator[int]:
        """See `Learner`.

        Args:
            batch: this rank's share of the batch.
            factors: factor on the losses of each objective.
            rows: (objectives, width) float32, to be filled.
            seed: seed of the random numbers of the step; None if none are drawn.
            portions: see `Learner`.
        """
        each, parts = self._objective_gradients(), micro_batches(batch, self._accumulate)
        of_objective = 1 if portions is None else len(portions)
        self._begin(batch)
        losses: list[list[Any]] = []
        keep = each.statistics if seed is None else self._network.constants()
        with self._under_way(batch):
            for number, part in enumerate(parts):
                passes = passes_of(self._loss, portions_of(part, portions), factors, keep, seed)
                found: list[Any] = []
                for row, found in enumerate(each.backward(passes, self._loss, of_objective, add=number > 0)):  # noqa: B007 - the last one is used
                    if number == len(parts) - 1 and row:
                        yield each.wait(row - 1, rows)
                losses.append(found)
        yield each.wait(len(factors) * of_objective - 1, rows)
        each.finish()
        self._end(batch, losses)

    def backward_held(self, batch: StepInput, factors: Sequence[float], weights: Sequence[float]) -> None:
        """See `Learner.backward_weighted`; the factors contain the scale."""
        used = invertible(weights)
        self.forward_backward(batch, [weight * factor for weight, factor in zip(used, factors, strict=True)], 1.0)
        self._objective_gradients().multiply_private([1 / weight for weight in used])

    def backward_by_features(
        self,
        batch: StepInput,
        factors: Sequence[float],
        weights: Callable[[Floats, np.ndarray[Any, Any]], Sequence[float]],
        seed: int | None,
    ) -> None:
        """See `Learner.backward_weighted`; the factors contain the scale.

        Args:
            batch: this rank's share of the batch.
            factors: factor on the losses of each objective.
            weights: function of the shares of the losses, and of the gradients by the trunk's output.
            seed: seed of the random numbers of the step; None if none are drawn.
        """
        each = self._objective_gradients()
        keep = each.statistics if seed is None else self._network.constants()
        self._begin(batch)
        self._loss.clear()
        with self._under_way(batch):
            passes = FeaturePasses(self._loss, batch, keep, seed)
            used = invertible(weights(passes.shares(), passes.rows(factors)))
            chosen = [weight * factor for weight, factor in zip(used, factors, strict=True)]
            losses = passes.backward(chosen, trains_trunk=each.compared)
        each.multiply_private([1 / weight for weight in used])
        self._end(batch, [losses])

    def products(self, batch: StepInput, factors: Sequence[float]) -> TappedProducts | None:
        """See `Learner.inner_products`; for networks and losses that draw nothing."""
        if self._accumulate > 1 or self._group is not None or self._network.context != mx.cpu():
            return None
        each, values = self._objective_gradients(), self._network.values
        # The pass through all heads is one of each objective by itself if each has a head, and shares all of the trunk.
        if self._consistency or any(not name.startswith("heads.") for name in each.private):
            return None
        if self._products is None:
            self._products = ProductPasses(self._loss, values, each.shared_parameters, each.statistics)
        made = self._products.run(batch, factors)
        if made is None:
            return None
        self._end(batch, [made[0]])
        return made[1]

    def losses_of(self, batch: StepInput, seed: int | None) -> Floats:
        """See `Learner`; random numbers begin again from the seed afterwards, if some are drawn."""
        constants = self._network.constants()
        before = [array.copy() for array in constants]
        with self._under_way(batch):
            shares = shares_of(self._loss.forward(batch), batch)
        for array, old in zip(constants, before, strict=True):
            old.copyto(array)
        if seed is not None:
            seed_all(seed)
        return shares

    def _objective_gradients(self) -> GradientsOfObjectives:
        if self._each is None:
            reached = losses_reach(self.reached, self._network.names, self._consistency)
            self._each = GradientsOfObjectives(self._network.block, self._trained, reached)
        return self._each

    def _under_way(self, batch: StepInput) -> AbstractContextManager[None]:
        return nullcontext() if self._group is None else self._group.under_way(filler=batch.filler)

    def _begin(self, batch: StepInput) -> None:
        if batch.ranks > 1:
            self._statistics.before_pass()

    def _end(self, batch: StepInput, parts: Sequence[list[Any]]) -> None:
        """Takes note of the passes of a step, by the losses of its micro-batches."""
        if self._group is not None:
            self._group.update_statistics()
        if batch.ranks > 1:
            rows = 0 if batch.filler else batch.rows
            self._statistics.after_pass(rows * batch.ranks / batch.global_samples)
        one = parts[0] if len(parts) == 1 else [mx.nd.concat(*each, dim=0) for each in zip(*parts, strict=True)]
        self.pending.add(one, batch)
        ahead = len(self.pending)
        if ahead > STEPS_IN_FLIGHT and ahead % STEPS_IN_FLIGHT == 0:  # a wait at each step costs 6 % on two cores
            self.pending.newest(STEPS_IN_FLIGHT)[-1].wait_to_read()


def loss_of(
    network: GluonNetwork,
    passes: Any,
    objectives: Sequence[Objective],
    trained: Mapping[str, Any],
    settings: LearnerSettings,
) -> TrainingLoss:
    """Returns the losses of a network in training.

    Args:
        network: the network.
        passes: its block as passes run it.
        objectives: objectives in the order of its outputs.
        trained: trained parameters by name.
        settings: settings of the learner.
    """
    added = list(trained.values()) if settings.accumulate > 1 else []
    given = passes, objectives, added, network.context, network.values
    return TrainingLoss(*given, consistency=settings.consistency)
