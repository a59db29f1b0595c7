"""The training passes of the steps of a PyTorch learner."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hpcmtl.training.micro_batches import at_least_two_rows, micro_batches
from hpcmtl.training.objective_rows import invertible
from hpcmtl.training.torch import random_numbers
from hpcmtl.training.torch.attributes import restored
from hpcmtl.training.torch.compat import import_torch
from hpcmtl.training.torch.gradient_places import followed, gradients_at
from hpcmtl.training.torch.gradient_products import DenseProducts, may_pay
from hpcmtl.training.torch.losses import TorchLoss, shares_of, weighted_sum
from hpcmtl.training.torch.place import CPU

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    import numpy as np

    from hpcmtl.arrays import Floats
    from hpcmtl.networks.objective import Objective
    from hpcmtl.training.learner_settings import LearnerSettings
    from hpcmtl.training.objective_rows import GradientPlace, ObjectiveWeights, SharedWeights
    from hpcmtl.training.pending_losses import PendingLosses
    from hpcmtl.training.step_input import StepInput
    from hpcmtl.training.torch.gradient_rows import GradientRows
    from hpcmtl.training.torch.gradients import FlatGradients
    from hpcmtl.training.torch.network import TorchNetwork
    from hpcmtl.training.torch.statistics import TorchBatchStatistics

torch = import_torch()


@dataclass(frozen=True, kw_only=True, eq=False)
class TorchPasses:
    """Runs the passes of steps, of a network in training mode; see `Learner`.

    Attributes:
        loss: network and losses.
        gradients: gradients of the trained parameters.
        rows: rows of the gradients of objectives.
        statistics: batch normalisations.
        group: what counts the samples of batch normalisations over a group; None for none.
        accumulate: number of micro-batches.
        changed: buffers that a pass changes, by name.
        unreached: parameters that no output depends on, by name.
        pending: losses that are not collected.
    """

    loss: TorchLoss
    gradients: FlatGradients
    rows: GradientRows
    statistics: TorchBatchStatistics
    group: Any
    accumulate: int
    changed: Mapping[str, Any]
    unreached: Mapping[str, Any]
    pending: PendingLosses

    def forward_backward(self, batch: StepInput, weights: ObjectiveWeights, scale: float) -> None:
        """See `Learner`.

        Raises:
            TaskFailedError: a parameter takes part that took none when the network was examined.
        """
        self._begin(batch)
        parts = micro_batches(batch, self.accumulate)
        self._end(batch, [(part, self.loss.backward(self._given(part), weights, scale)) for part in parts])

    def backward_each(
        self, batch: StepInput, factors: Sequence[float], rows: np.ndarray[Any, Any], portions: Floats | None = None
    ) -> Iterator[int]:
        """See `Learner`; one forward pass, and a backward pass for each row.

        Raises:
            TaskFailedError: as `forward_backward`.
        """
        self._begin(batch)
        losses: list[tuple[StepInput, list[Any]]] = []
        parts = micro_batches(batch, self.accumulate)
        for number, part in enumerate(parts):
            target, found = self.rows.pieces_of(rows, add=number > 0), list[Any]()
            passes = self.rows.backward(self.loss, self._given(part), factors, target, portions)
            for row, found in enumerate(passes):  # noqa: B007 - the last one is used
                if number == len(parts) - 1:
                    yield row
            losses.append((part, [loss.detach() for loss in found]))
        self._end(batch, losses)

    def backward_weighted(
        self, batch: StepInput, factors: Sequence[float], weights: SharedWeights, place: GradientPlace | None
    ) -> None:
        """See `Learner`; the factors contain the scale.

        Raises:
            TaskFailedError: as `forward_backward`.
        """
        self._begin(batch)
        found = []
        for part in micro_batches(batch, self.accumulate):
            given = self._given(part)
            with followed(self.loss.module, self.rows.last_layer, place) as places:
                losses = self.loss.losses(given.inputs, given.targets)
            if callable(weights):
                rows = gradients_at(places, losses, given, factors)
                used = invertible(weights(shares_of(losses, given), rows))
            else:
                used = invertible(weights)
            total = weighted_sum(losses, given, [w * factor for w, factor in zip(used, factors, strict=True)])
            if total.requires_grad:
                total.backward()
            found.append((part, [loss.detach() for loss in losses]))
        self.rows.multiply_private([1 / weight for weight in used])
        self._end(batch, found)

    def products(self, batch: StepInput, factors: Sequence[float]) -> DenseProducts | None:
        """See `Learner.inner_products`.

        Raises:
            TaskFailedError: as `forward_backward`.
        """
        usual = self.accumulate == 1 and self.loss.precision == "fp32" and self.loss.place == CPU
        if not usual or batch.rows < 2 or not may_pay(self.rows, batch.rows):
            return None
        self._begin(batch)
        given = self._given(batch)
        losses = self.loss.losses(given.inputs, given.targets)
        found = DenseProducts(losses, given, factors, self.rows, self.gradients.by_name)
        self._end(batch, [(batch, [loss.detach() for loss in losses])])
        return found

    def losses_of(self, batch: StepInput) -> Floats:
        """See `Learner`."""
        if self.group is not None:
            self.group.counts = not batch.filler
        given = self._given(batch)
        with torch.no_grad(), random_numbers.kept(), restored(dict(self.changed)):
            losses = self.loss.losses(given.inputs, given.targets)
        return shares_of([loss[: len(batch.weights)] for loss in losses], batch)

    def _begin(self, batch: StepInput) -> None:
        """Prepares the passes of a step."""
        self.gradients.clear()
        if self.group is not None:
            self.group.counts = not batch.filler
        if self._is_corrected(batch):
            self.statistics.before_pass()

    def _is_corrected(self, batch: StepInput) -> bool:
        """Returns whether running statistics are to be other ones than PyTorch makes of a batch."""
        return batch.ranks > 1 or batch.rows == 1 or self.accumulate > 1

    def _given(self, part: StepInput) -> StepInput:
        """Returns the rows of a pass over a micro-batch."""
        given = at_least_two_rows(part) if self.statistics.refuse_one_row else part
        self.statistics.weight = 0.0 if part.filler else len(part.weights) / len(given.weights)
        return given

    def _end(self, batch: StepInput, losses: Sequence[tuple[StepInput, Sequence[Any]]]) -> None:
        """Takes note of the passes of a step: of each micro-batch and its losses."""
        if self._is_corrected(batch):
            self.statistics.after_pass(batch.ranks)
        if batch.ranks == 1:
            self.statistics.update()
        of_samples = [[loss[: len(part.weights)] for loss in found] for part, found in losses]
        joined = of_samples[0] if len(losses) == 1 else [torch.cat(each) for each in zip(*of_samples, strict=True)]
        self.pending.add(joined, batch)
        self.gradients.require_whole(self.unreached)


def loss_of(network: TorchNetwork, objectives: Sequence[Objective], settings: LearnerSettings) -> TorchLoss:
    """Returns the losses of a network in training, whose outputs are in the order of the objectives."""
    given = network.module, objectives, settings.precision, network.place, network.values
    return TorchLoss(*given, consistency=settings.consistency)
