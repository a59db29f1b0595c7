"""A Gluon network as a `Learner`."""

from __future__ import annotations

import fnmatch
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

import numpy as np

from hpcmtl.errors import InputError
from hpcmtl.frameworks.device import HOST
from hpcmtl.training.gluon.attributes import BlockAttributes
from hpcmtl.training.gluon.compare_step import TrainedNetwork, compare_step
from hpcmtl.training.gluon.compat import import_mxnet
from hpcmtl.training.gluon.first_step import restored
from hpcmtl.training.gluon.graph import graph_facts
from hpcmtl.training.gluon.group_batchnorm import statistics_of, synchronise
from hpcmtl.training.gluon.layout import restore_default_layout, view
from hpcmtl.training.gluon.losses import TrainingLoss
from hpcmtl.training.gluon.network import GluonNetwork
from hpcmtl.training.gluon.optimizer import Updater
from hpcmtl.training.gluon.parameters import (
    accumulate,
    assign,
    freeze,
    freeze_statistics,
    is_statistic,
    shared_parameters,
    trained,
)
from hpcmtl.training.gluon.random_numbers import seed_all
from hpcmtl.training.gluon.sparse import RowSparseGradient, is_row_sparse
from hpcmtl.training.gluon.statistics import BatchStatistics
from hpcmtl.training.group_sum import alone
from hpcmtl.training.learner import STEPS_IN_FLIGHT
from hpcmtl.training.micro_batches import micro_batches
from hpcmtl.training.parameter_groups import GroupedUpdater
from hpcmtl.training.parameter_names import distinct, nothing_to_train, ties
from hpcmtl.training.pending_losses import PendingLosses, optimizer_part, state_with
from hpcmtl.training.python_random import ONE_AT_A_TIME
from hpcmtl.training.traits import LearnerTraits

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence
    from contextlib import AbstractContextManager

    from hpcmtl.arrays import Arrays
    from hpcmtl.frameworks.device import Device
    from hpcmtl.networks.description import NetworkDescription
    from hpcmtl.networks.objective import Objective
    from hpcmtl.networks.parameter_mapping import ParameterMapping
    from hpcmtl.networks.shapes import InputShapes
    from hpcmtl.training.gluon.group_sum import GluonGroupSum
    from hpcmtl.training.learner import Which
    from hpcmtl.training.learner_settings import LearnerSettings
    from hpcmtl.training.step_comparison import StepComparison
    from hpcmtl.training.step_input import StepInput

mx = import_mxnet()


class GluonLearner(GluonNetwork):
    """A `GluonNetwork` that trains on one rank; see `Learner`."""

    def __init__(
        self,
        network: NetworkDescription,
        samples: InputShapes,
        objectives: Sequence[Objective],
        settings: LearnerSettings,
        device: Device = HOST,
    ) -> None:
        """Builds the network for samples of a shape an input; the objectives are in the order of its outputs."""
        super().__init__(network, samples, [each.name for each in objectives], settings.seed, device)
        inputs = len(self.values)
        self._settings, self._seed, self._rescale = settings, settings.seed, 1.0
        frozen = freeze(self.parameters, settings.freeze)
        self._frozen = {name: parameter for name, parameter in self.parameters.items() if parameter in frozen}
        freeze_statistics(self.block, frozen)
        passes: Any = self.block
        self._group: GluonGroupSum | None = None
        if settings.sync_batchnorm:
            passes, self._group = synchronise(self.block, inputs)
        attributes = BlockAttributes([self.block])
        with restored(self._constants()):  # tracing runs the Python code of users' blocks
            self._trained, self._graph = trained(self.block, self.parameters, inputs), graph_facts(self.block, inputs)
        attributes.restore()
        if not self._trained:
            raise InputError([nothing_to_train(settings.freeze)])
        single = distinct(self.parameters)
        statistics = {n: p for n, p in single.items() if self._is_updated_statistic(p, frozen)}
        if settings.accumulate > 1:
            accumulate(self._trained, statistics)  # makes new arrays
        self._sparse = {name: RowSparseGradient(p) for name, p in self._trained.items() if is_row_sparse(p)}
        self._spread = False  # whether the dense copies of sparse gradients are those of the newest step
        self._arrays = self._arrays_by_name(single, statistics)
        added = list(self._trained.values()) if settings.accumulate > 1 else []
        self._loss = TrainingLoss(passes, objectives, added, self.context, self.values)
        self._updater = GroupedUpdater(self._trained, settings.optimizer, Updater, ties(self.parameters))
        grouped = statistics_of(self._group)
        self._of_rows = {name: each for name, each in statistics.items() if each not in grouped}
        self._batch_statistics = BatchStatistics(self._of_rows, self._graph.normalisations)
        self._pending = PendingLosses(len(self.names), lambda loss: loss.asnumpy())

    def _arrays_by_name(self, single: Mapping[str, Any], statistics: Mapping[str, Any]) -> dict[Which, dict[str, Any]]:
        gradients = {name: parameter.grad() for name, parameter in self._trained.items()}
        return {
            "gradients": {**gradients, **{name: each.dense for name, each in self._sparse.items()}},
            "touched_rows": {name: each.touched for name, each in self._sparse.items()},
            "trained": {name: parameter.data() for name, parameter in self._trained.items()},
            "parameters": {name: parameter.data() for name, parameter in single.items()},
            "statistics": {name: parameter.data() for name, parameter in statistics.items()},
        }

    @property
    def traits(self) -> LearnerTraits:
        """See `Learner`."""
        return LearnerTraits(
            may_draw=self._graph.draws or self._loss.may_draw,
            random_optimizer=self._updater.may_draw,
            batch_statistics=bool(self._of_rows),
            whole_batch_statistics=self._batch_statistics.usable or not (self._group is None or self._of_rows),
        )

    def _constants(self) -> list[Any]:
        return [each.data() for each in self.block.collect_params().values() if each.grad_req == "null"]

    def _is_updated_statistic(self, parameter: Any, frozen: Collection[Any]) -> bool:
        kept = self._graph.fixed | self._graph.affine
        return is_statistic(parameter) and parameter not in frozen and parameter.name not in kept

    def use_group_sum(self, total: Callable[[np.ndarray[Any, Any]], None]) -> None:
        """See `Learner`."""
        if self._group is not None:
            self._group.total = total

    def reseed(self, seed: int) -> None:
        """See `Learner`; Python's and numpy's random numbers as well, which operators and optimizers of users draw."""
        self._seed = seed
        seed_all(seed)

    def compare_step(self, batch: StepInput, rate: float) -> StepComparison:
        """See `Learner`."""
        with ONE_AT_A_TIME, alone(self._group), restored(self._constants()):
            found = compare_step(self._as_trained(), batch, rate)
            mx.random.seed(self._seed)
        return found

    def _as_trained(self) -> TrainedNetwork:
        return TrainedNetwork(
            block=self.block,
            loss=self._loss,
            trained=self._trained,
            optimizer=self._settings.optimizer,
            graph=self._graph,
            traits=self.traits,
        )

    def run_uncompiled(self) -> None:
        """See `Learner`."""
        self._loss.compile(active=False)

    def forward_backward(self, batch: StepInput, weights: Sequence[float], scale: float) -> None:
        """See `Learner`."""
        several = batch.ranks > 1
        if several:
            self._batch_statistics.before_pass()
        with self._under_way(batch):
            losses = self._backward(batch, weights, scale)
        if self._group is not None:
            self._group.update_statistics()
        self._spread = False
        if several:
            rows = 0 if batch.filler else batch.rows
            self._batch_statistics.after_pass(rows * batch.ranks / batch.global_samples)
        self._pending.add(losses, batch)
        ahead = len(self._pending)
        if ahead > STEPS_IN_FLIGHT and ahead % STEPS_IN_FLIGHT == 0:  # a wait at each step costs 6 % on two cores
            self._pending.newest(STEPS_IN_FLIGHT)[-1].wait_to_read()

    def _under_way(self, batch: StepInput) -> AbstractContextManager[None]:
        return nullcontext() if self._group is None else self._group.under_way(filler=batch.filler)

    def _backward(self, batch: StepInput, weights: Sequence[float], scale: float) -> list[Any]:
        """Computes the gradients in as many passes as the settings say; returns the losses of the samples."""
        parts = micro_batches(batch, self._settings.accumulate)
        self._loss.clear()
        losses = [self._loss.backward(part, weights, scale) for part in parts]
        return losses[0] if len(parts) == 1 else [mx.nd.concat(*each, dim=0) for each in zip(*losses, strict=True)]

    def gradients(self) -> Arrays:
        """See `Learner`."""
        return self.views("gradients")

    def views(self, which: Which) -> Arrays:
        """See `Learner`."""
        arrays = self._arrays_of(which)
        mx.nd.waitall()
        return {name: view(array) for name, array in arrays.items()}

    def native(self, which: Which) -> Sequence[Any]:
        """See `Learner`; NDArrays."""
        return list(self._arrays_of(which).values())

    def _arrays_of(self, which: Which) -> Mapping[str, Any]:
        if self._sparse and not self._spread and which in {"gradients", "touched_rows"}:
            for each in self._sparse.values():
                each.spread()
            self._spread = True
        if which == "batch_statistics":
            return {str(number): share for number, share in enumerate(self._batch_statistics.shares)}
        return self._arrays[which]

    def gradient_norm(self) -> float:
        """See `Learner`."""
        gradients = self.native("gradients")
        squares = mx.nd.multi_sum_sq(*gradients, num_arrays=len(gradients)).asnumpy()
        return float(np.sqrt(squares.astype(np.float64).sum()))

    def gradients_finite(self) -> bool:
        """See `Learner`."""
        gradients = self.native("gradients")
        return bool(mx.nd.multi_all_finite(*gradients, num_arrays=len(gradients)).asnumpy()[0])

    def objective_gradients(self, batch: StepInput, scale: float) -> tuple[Arrays, ...]:
        """See `Learner`.

        Each objective has a forward pass of its own, with the same random numbers. Several backward passes over one
        retained graph would cost less, but mxnet 1.9.1 gives wrong gradients for dropout there: from the second pass
        on they belong to another mask (measured with and without `hybridize`).
        """
        shared = shared_parameters(self.block, self._trained, len(self.values), len(self.names))
        statistics = {name: array.copy() for name, array in self._arrays["statistics"].items()}
        seed = int(mx.nd.random.randint(0, 2**31 - 1, shape=(1,), dtype="int64").asscalar())
        found = []
        for one in np.eye(len(self.names)).tolist():
            mx.random.seed(seed)
            self._loss.clear()
            with self._under_way(batch):
                self._loss.backward(batch, one, scale)
            found.append({name: self._trained[name].grad().asnumpy() for name in shared})
            for name, array in statistics.items():
                array.copyto(self._arrays["statistics"][name])
        mx.random.seed(seed)
        return tuple(found)

    def take_batch_statistics(self) -> None:
        """See `Learner`."""
        self._batch_statistics.update()

    def apply(self, rate: float, rescale: float = 1.0) -> None:
        """See `Learner`."""
        if self._spread:
            for each in self._sparse.values():
                each.gather()
        self._updater.update(rate, rescale)
        self._rescale = rescale

    def applied_gradients(self, pattern: str) -> Arrays:
        """See `Learner`."""
        changed = list(self._trained.values())
        matching = ((n, p) for n, p in self.parameters.items() if fnmatch.fnmatchcase(n, pattern) and p in changed)
        return {name: parameter.grad().asnumpy() * self._rescale for name, parameter in matching}

    def collect_losses(self, in_flight: int = 0) -> np.ndarray[Any, Any]:
        """See `Learner`."""
        return self._pending.collect(in_flight)

    def state(self) -> Arrays:
        """See `Learner`."""
        return state_with(self._updater, self.parameter_arrays())

    def load_state(self, state: Mapping[str, np.ndarray[Any, Any]]) -> None:
        """See `Learner`."""
        self.load_parameters(state)
        self._updater.load_state(optimizer_part(state))

    def refresh_frozen(self, parameters: Mapping[str, np.ndarray[Any, Any]], mapping: ParameterMapping) -> int:
        """See `Learner`.

        Raises:
            InputError: no frozen parameter matches.
        """
        return self.copy_mapped(parameters, mapping, self._frozen)

    def parameters_matching(self, pattern: str) -> Arrays:
        """See `Learner`."""
        return {n: p.data().asnumpy() for n, p in self.parameters.items() if fnmatch.fnmatchcase(n, pattern)}

    def set_parameters(self, arrays: Mapping[str, np.ndarray[Any, Any]]) -> None:
        """See `Learner`."""
        assign(self.parameters, arrays, "parameters")

    def quiesce(self) -> None:
        """See `Learner`."""
        self._pending.clear()
        mx.nd.waitall()
        restore_default_layout(self.native("parameters"))
