"""A PyTorch network as a `Learner`."""

from __future__ import annotations

import fnmatch
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from hpcmtl.errors import InputError
from hpcmtl.frameworks.device import HOST
from hpcmtl.training.group_sum import alone
from hpcmtl.training.micro_batches import at_least_two_rows
from hpcmtl.training.objective_rows import losses_reach, resting_names
from hpcmtl.training.parameter_groups import GroupedUpdater, with_frozen_groups
from hpcmtl.training.parameter_names import distinct, frozen_names, nothing_to_train, ties
from hpcmtl.training.pending_losses import PendingLosses, optimizer_part, state_with
from hpcmtl.training.python_random import ONE_AT_A_TIME
from hpcmtl.training.torch import random_numbers
from hpcmtl.training.torch.compat import import_torch
from hpcmtl.training.torch.first_step import compare_step
from hpcmtl.training.torch.gradient_rows import GradientRows
from hpcmtl.training.torch.gradients import FlatGradients
from hpcmtl.training.torch.group_batchnorm import group_normalisations, synchronise
from hpcmtl.training.torch.losses import is_of_user
from hpcmtl.training.torch.modules import buffers_of
from hpcmtl.training.torch.network import TorchNetwork, array_of
from hpcmtl.training.torch.optimizer import TorchUpdater
from hpcmtl.training.torch.samples import trial_samples
from hpcmtl.training.torch.statistics import TorchBatchStatistics, has_frozen_statistics
from hpcmtl.training.torch.training_pass import examined
from hpcmtl.training.torch.training_passes import TorchPasses, loss_of
from hpcmtl.training.traits import LearnerTraits
from hpcmtl.training.trials import ROWS

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence

    import numpy as np

    from hpcmtl.arrays import Arrays, Floats
    from hpcmtl.frameworks.device import Device
    from hpcmtl.networks.description import NetworkDescription
    from hpcmtl.networks.objective import Objective
    from hpcmtl.networks.parameter_mapping import ParameterMapping
    from hpcmtl.networks.shapes import InputShapes
    from hpcmtl.training.learner import Which
    from hpcmtl.training.learner_settings import LearnerSettings
    from hpcmtl.training.objective_rows import GradientPlace, ObjectiveProducts, ObjectiveWeights, SharedWeights
    from hpcmtl.training.step_comparison import StepComparison
    from hpcmtl.training.step_input import StepInput

torch = import_torch()


class TorchLearner(TorchNetwork):
    """A `TorchNetwork` that trains on one rank; see `Learner`."""

    def __init__(
        self,
        network: NetworkDescription,
        samples: InputShapes,
        objectives: Sequence[Objective],
        settings: LearnerSettings,
        device: Device = HOST,
    ) -> None:
        """Builds the network for samples of a shape an input; the objectives are in the order of its outputs.

        Raises:
            InputError: a training pass assigns another tensor to a buffer, or there is nothing to train.
        """
        super().__init__(network, samples, [objective.name for objective in objectives], settings.seed, device)
        self._group = synchronise(self.module) if settings.sync_batchnorm else None
        self._frozen = frozen_names(self.tensors, settings.freeze)
        frozen = {id(self.tensors[name].requires_grad_(requires_grad=False)) for name in self._frozen}
        self._batch_statistics = TorchBatchStatistics(self.module, frozen)
        # Frozen statistics are used and kept in training.
        self._fixed = [each for each in self.module.modules() if has_frozen_statistics(each, frozen)]
        self.set_training(active=True)
        single = distinct(self.tensors)
        samples = trial_samples(ROWS, self.samples, self.values)
        self._facts, self._by_rows = examined(self.module, single, samples, self._batch_statistics)
        self.require_own_tensors()
        self._trained, unreached = self._split(single)
        if not self._trained:
            raise InputError([nothing_to_train(settings.freeze)])
        self._gradients = FlatGradients(self._trained)
        rows = GradientRows(self._trained, losses_reach(self._facts.reached, self.names, settings.consistency))
        self._arrays = self._arrays_by_name(single, frozen, rows.private)
        self._views: dict[Which, Arrays] = {}
        self._loss = loss_of(self, objectives, settings)
        self._settings = settings = with_frozen_groups(settings, self.tensors, self._trained)
        self._updater = GroupedUpdater(self._trained, settings.optimizer, TorchUpdater, ties(self.tensors))
        self._passes = self._made_passes(rows, unreached)

    def _made_passes(self, rows: GradientRows, unreached: Mapping[str, Any]) -> TorchPasses:
        return TorchPasses(
            loss=self._loss,
            gradients=self._gradients,
            rows=rows,
            statistics=self._batch_statistics,
            group=self._group,
            accumulate=self._settings.accumulate,
            changed={name: self.tensors[name] for name in self._facts.changed},
            unreached=unreached,
            pending=PendingLosses(self._loss.count, array_of),
        )

    def _arrays_by_name(
        self, single: Mapping[str, Any], frozen: Collection[int], private: Iterable[str]
    ) -> dict[Which, Mapping[str, Any]]:
        changed = {name: single[name] for name in self._facts.changed if id(single[name]) not in frozen}
        return {
            "gradients": self._gradients.by_name,
            "private_gradients": {name: self._gradients.by_name[name] for name in private},
            "touched_rows": {},
            "trained": self._trained,
            "parameters": single,
            "statistics": {name: each for name, each in changed.items() if each.is_floating_point()},
        }

    def _split(self, tensors: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
        """Returns the parameters that are trained, and those that no output depends on."""
        wanted = {name: each for name, each in tensors.items() if each.requires_grad}
        reached = frozenset().union(*self._facts.reached)
        used = {name: each for name, each in wanted.items() if name in reached}
        return used, {name: each for name, each in wanted.items() if name not in reached}

    @property
    def traits(self) -> LearnerTraits:
        """See `Learner`."""
        statistics = set(map(id, self._arrays["statistics"].values()))
        by_rows = {id(each) for name, each in self._arrays["statistics"].items() if name in self._by_rows}
        normalised = buffers_of(self._batch_statistics.modules)
        grouped = buffers_of(group_normalisations(self.module))
        return LearnerTraits(
            may_draw=self._facts.draws or self._loss.may_draw or any(map(is_of_user, self.module.modules())),
            random_optimizer=self._updater.may_draw,
            batch_statistics=not by_rows <= grouped,
            whole_batch_statistics=bool(statistics) and statistics <= normalised | grouped,
        )

    def use_group_sum(self, total: Callable[[np.ndarray[Any, Any]], None]) -> None:
        """See `Learner`."""
        if self._group is not None:
            self._group.total = total

    def set_training(self, *, active: bool) -> None:
        """See `TorchNetwork`; batch normalisation with frozen statistics works as in inference."""
        if active and not self._training:
            super().set_training(active=True)
            for each in self._fixed:
                each.eval()
        super().set_training(active=active)

    def reseed(self, seed: int) -> None:
        """See `Learner`; Python's and numpy's random numbers as well, which networks and optimizers of users draw."""
        random_numbers.seed_all(seed)

    def compare_step(self, batch: StepInput, rate: float) -> StepComparison:
        """See `Learner`."""
        self.set_training(active=True)
        optimizer, traits = self._settings.optimizer, self.traits
        normalised = self._batch_statistics.refuse_one_row or self._group is not None
        batch = at_least_two_rows(batch) if normalised else batch
        with ONE_AT_A_TIME, alone(self._group):
            found = compare_step(self._loss, self._trained, optimizer, batch, rate=rate, traits=traits)
        counting = [name for name in sorted(self._by_rows) if not self.tensors[name].is_floating_point()]
        if batch.ranks > 1 and counting:
            text = f"a pass changes {', '.join(counting)} by its rows, and each rank has only its own"
            return replace(found, update=f"{text}: `ranks: 1` keeps the task on one rank")
        return found

    def run_uncompiled(self) -> None:
        """See `Learner`; nothing is compiled."""

    def forward_backward(self, batch: StepInput, weights: ObjectiveWeights, scale: float) -> None:
        """See `Learner`.

        Raises:
            TaskFailedError: a parameter takes part that took none when the network was examined.
        """
        self.set_training(active=True)
        self._passes.forward_backward(batch, weights, scale)

    def backward_each(
        self,
        batch: StepInput,
        weights: Sequence[float],
        scale: float,
        rows: np.ndarray[Any, Any],
        portions: Floats | None = None,
    ) -> Iterator[int]:
        """See `Learner`; one forward pass, and a backward pass for each row.

        Raises:
            TaskFailedError: as `forward_backward`.
        """
        self.set_training(active=True)
        return self._passes.backward_each(batch, [scale * weight for weight in weights], rows, portions)

    def backward_weighted(
        self,
        batch: StepInput,
        factors: Sequence[float],
        scale: float,
        weights: SharedWeights,
        place: GradientPlace | None = None,
    ) -> None:
        """See `Learner`.

        Raises:
            TaskFailedError: as `forward_backward`.
        """
        self.set_training(active=True)
        self._passes.backward_weighted(batch, [scale * factor for factor in factors], weights, place)

    def inner_products(self, batch: StepInput, weights: Sequence[float], scale: float) -> ObjectiveProducts | None:
        """See `Learner`; for dense layers of a batch with few rows."""
        self.set_training(active=True)
        return self._passes.products(batch, [scale * weight for weight in weights])

    def losses_of(self, batch: StepInput) -> Floats:
        """See `Learner`."""
        self.set_training(active=True)
        return self._passes.losses_of(batch)

    def gradients(self) -> Arrays:
        """See `Learner`."""
        return self.views("gradients")

    def views(self, which: Which) -> Arrays:
        """See `Learner`."""
        if which == "batch_statistics":
            return {str(number): share.numpy() for number, share in enumerate(self._batch_statistics.shares)}
        if which not in self._views:
            self._views[which] = {name: array_of(tensor) for name, tensor in self._arrays[which].items()}
        return self._views[which]

    def native(self, which: Which) -> Sequence[Any]:
        """See `Learner`; tensors."""
        return self._batch_statistics.shares if which == "batch_statistics" else list(self._arrays[which].values())

    def gradient_norm(self) -> float:
        """See `Learner`."""
        return self._gradients.norm()

    def gradients_finite(self) -> bool:
        """See `Learner`."""
        return self._gradients.finite()

    def take_batch_statistics(self) -> None:
        """See `Learner`."""
        self._batch_statistics.update()

    def apply(self, rate: float, rescale: float = 1.0, objectives: Sequence[int] | None = None) -> None:
        """See `Learner`."""
        self._updater.update(rate, rescale, resting_names(self._trained, self._facts.reached, objectives))

    def applied_gradients(self, pattern: str) -> Arrays:
        """See `Learner`."""
        changed = {id(parameter): name for name, parameter in self._trained.items()}
        matching = ((n, p) for n, p in self.tensors.items() if fnmatch.fnmatchcase(n, pattern) and id(p) in changed)
        return {name: array_of(parameter.grad).copy() for name, parameter in matching}

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
        return {n: array_of(each).copy() for n, each in self.tensors.items() if fnmatch.fnmatchcase(n, pattern)}

    def set_parameters(self, arrays: Mapping[str, np.ndarray[Any, Any]]) -> None:
        """See `Learner`."""
        self.assign(arrays, "parameters")

    def quiesce(self) -> None:
        """See `Learner`."""
        self._passes.pending.clear()
