"""The training passes of the steps of a Gluon learner, and their losses until they are collected."""

from __future__ import annotations

from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

from hpcmtl.training.gluon.compat import import_mxnet
from hpcmtl.training.gluon.losses import shares_of
from hpcmtl.training.gluon.objective_gradients import GradientsOfObjectives, passes_of
from hpcmtl.training.gluon.random_numbers import seed_all
from hpcmtl.training.learner import STEPS_IN_FLIGHT
from hpcmtl.training.micro_batches import micro_batches
from hpcmtl.training.pending_losses import PendingLosses

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from contextlib import AbstractContextManager

    import numpy as np

    from hpcmtl.arrays import Floats
    from hpcmtl.training.gluon.group_sum import GluonGroupSum
    from hpcmtl.training.gluon.losses import TrainingLoss
    from hpcmtl.training.gluon.network import GluonNetwork
    from hpcmtl.training.gluon.statistics import BatchStatistics
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
        accumulate: int,
    ) -> None:
        """Takes a network and its trained parameters, its losses, and what its batch normalisations need."""
        self._network, self._trained, self._loss = network, trained, loss
        self._statistics, self._group, self._accumulate = statistics, group, accumulate
        self._each: GradientsOfObjectives | None = None  # made when it is needed
        self.pending = PendingLosses(len(network.names), lambda loss: loss.asnumpy())

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
        self, batch: StepInput, factors: Sequence[float], rows: np.ndarray[Any, Any], seed: int | None
    ) -> Iterator[int]:
        """See `Learner`.

        Args:
            batch: this rank's share of the batch.
            factors: factor on the losses of each objective.
            rows: (objectives, width) float32, to be filled.
            seed: seed of the random numbers of the step; None if none are drawn.
        """
        each, parts = self._objective_gradients(), micro_batches(batch, self._accumulate)
        self._begin(batch)
        losses: list[list[Any]] = []
        keep = each.statistics if seed is None else self._network.constants()
        with self._under_way(batch):
            for number, part in enumerate(parts):
                passes = passes_of(self._loss, part, factors, keep, seed)
                found: list[Any] = []
                for objective, found in enumerate(each.backward(passes, self._loss, add=number > 0)):  # noqa: B007 - the last one is used
                    if number == len(parts) - 1 and objective:
                        yield each.wait(objective - 1, rows)
                losses.append(found)
        yield each.wait(len(factors) - 1, rows)
        each.finish()
        self._end(batch, losses)

    def losses_of(self, batch: StepInput, seed: int) -> Floats:
        """See `Learner`; random numbers begin again from the seed afterwards."""
        constants = self._network.constants()
        before = [array.copy() for array in constants]
        with self._under_way(batch):
            shares = shares_of(self._loss.forward(batch), batch)
        for array, old in zip(constants, before, strict=True):
            old.copyto(array)
        seed_all(seed)
        return shares

    def _objective_gradients(self) -> GradientsOfObjectives:
        if self._each is None:
            network = self._network
            self._each = GradientsOfObjectives(network.block, self._trained, len(network.values))
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
