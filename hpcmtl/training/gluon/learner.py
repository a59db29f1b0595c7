"""A Gluon network as a `Learner`."""

from __future__ import annotations

import fnmatch
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
from hpcmtl.training.gluon.network import GluonNetwork
from hpcmtl.training.gluon.optimizer import Updater
from hpcmtl.training.gluon.parameters import (
    accumulate,
    assign,
    freeze,
    freeze_statistics,
    is_statistic,
    trained,
)
from hpcmtl.training.gluon.random_numbers import seed_all
from hpcmtl.training.gluon.sparse import RowSparseGradient, is_row_sparse
from hpcmtl.training.gluon.statistics import BatchStatistics
from hpcmtl.training.gluon.training_passes import GluonPasses, loss_of
from hpcmtl.training.group_sum import alone
from hpcmtl.training.objective_rows import resting_names
from hpcmtl.training.parameter_groups import GroupedUpdater, with_frozen_groups
from hpcmtl.training.parameter_names import distinct, nothing_to_train, ties
from hpcmtl.training.pending_losses import optimizer_part, state_with
from hpcmtl.training.python_random import ONE_AT_A_TIME
from hpcmtl.training.traits import LearnerTraits

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping, Sequence

    from hpcmtl.arrays import Arrays, Floats
    from hpcmtl.frameworks.device import Device
    from hpcmtl.networks.description import NetworkDescription
    from hpcmtl.networks.objective import Objective
    from hpcmtl.networks.parameter_mapping import ParameterMapping
    from hpcmtl.networks.shapes import InputShapes
    from hpcmtl.training.gluon.group_sum import GluonGroupSum
    from hpcmtl.training.learner import Which
    from hpcmtl.training.learner_settings import LearnerSettings
    from hpcmtl.training.objective_rows import GradientPlace, ObjectiveProducts, ObjectiveWeights, SharedWeights
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
        inputs, self._seed, self._rescale = len(self.values), settings.seed, 1.0
        frozen = freeze(self.parameters, settings.freeze)
        self._frozen = {name: parameter for name, parameter in self.parameters.items() if parameter in frozen}
        freeze_statistics(self.block, frozen)
        passes: Any = self.block
        self._group: GluonGroupSum | None = None
        if settings.sync_batchnorm:
            passes, self._group = synchronise(self.block, inputs)
        attributes = BlockAttributes([self.block])
        with restored(self.constants()):  # tracing runs the Python code of users' blocks
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
        self._loss = loss_of(self, passes, objectives, self._trained, settings)
        self._settings = settings = with_frozen_groups(settings, self.parameters, self._trained)
        self._updater = GroupedUpdater(self._trained, settings.optimizer, Updater, ties(self.parameters))
        self._of_rows = {n: each for n, each in statistics.items() if each not in statistics_of(self._group)}
        self._batch_statistics = BatchStatistics(self._of_rows, self._graph.normalisations)
        self._passes = GluonPasses(
            self, self._trained, self._loss, self._batch_statistics, group=self._group, settings=settings
        )

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
        with ONE_AT_A_TIME, alone(self._group), restored(self.constants()):
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

    def forward_backward(self, batch: StepInput, weights: ObjectiveWeights, scale: float) -> None:
        """See `Learner`."""
        self._spread = False
        self._passes.forward_backward(batch, weights, scale)

    def backward_each(
        self,
        batch: StepInput,
        weights: Sequence[float],
        scale: float,
        rows: np.ndarray[Any, Any],
        portions: Floats | None = None,
    ) -> Iterator[int]:
        """See `Learner`; the next backward pass is under way while a row is used."""
        self._spread = False
        factors = [scale * weight for weight in weights]
        return self._passes.backward_each(batch, factors, rows, self._seed_of_step, portions)

    def backward_weighted(
        self,
        batch: StepInput,
        factors: Sequence[float],
        scale: float,
        weights: SharedWeights,
        place: GradientPlace | None = None,  # noqa: ARG002 - there is one
    ) -> None:
        """See `Learner`; a function gets the gradients by the output of the trunk, the only place."""
        self._spread = False
        scaled = [scale * factor for factor in factors]
        if callable(weights):
            self._passes.backward_by_features(batch, scaled, weights, self._seed_of_step)
        else:
            self._passes.backward_held(batch, scaled, weights)

    def inner_products(self, batch: StepInput, weights: Sequence[float], scale: float) -> ObjectiveProducts | None:
        """See `Learner`; for a network of a trunk and heads."""
        fits = self._loss.compiled and not self._sparse and not self.traits.may_draw
        return self._passes.products(batch, [scale * weight for weight in weights]) if fits else None

    def losses_of(self, batch: StepInput) -> Floats:
        """See `Learner`."""
        return self._passes.losses_of(batch, self._seed_of_step)

    @property
    def _seed_of_step(self) -> int | None:
        """Seed of the random numbers of the step; None if none are drawn."""
        return self._seed if self.traits.may_draw else None

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
        if which == "private_gradients":
            return {name: self._arrays["gradients"][name] for name in self._passes.private}
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

    def take_batch_statistics(self) -> None:
        """See `Learner`."""
        self._batch_statistics.update()

    def apply(self, rate: float, rescale: float = 1.0, objectives: Sequence[int] | None = None) -> None:
        """See `Learner`."""
        if self._spread:
            for each in self._sparse.values():
                each.gather()
        reached = () if objectives is None else self._passes.reached
        self._updater.update(rate, rescale, resting_names(self._trained, reached, objectives))
        self._rescale = rescale

    def applied_gradients(self, pattern: str) -> Arrays:
        """See `Learner`."""
        changed = list(self._trained.values())
        matching = ((n, p) for n, p in self.parameters.items() if fnmatch.fnmatchcase(n, pattern) and p in changed)
        return {name: parameter.grad().asnumpy() * self._rescale for name, parameter in matching}

    def collect_losses(self, in_flight: int = 0) -> np.ndarray[Any, Any]:
        """See `Learner`."""
        return self._passes.pending.collect(in_flight)

    def newest_losses(self) -> Floats | None:
        """See `Learner`."""
        return self._passes.pending.newest_shares()

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
        self._passes.pending.clear()
        mx.nd.waitall()
        restore_default_layout(self.native("parameters"))
