"""A PyTorch network as a `Learner`."""

from __future__ import annotations

import fnmatch
from typing import TYPE_CHECKING, Any

import numpy as np

from hpcmtl.errors import InputError, TaskFailedError
from hpcmtl.frameworks.device import HOST
from hpcmtl.training.learner import OPTIMIZER
from hpcmtl.training.parameter_names import distinct, frozen_names, nothing_to_train
from hpcmtl.training.torch import random_numbers
from hpcmtl.training.torch.compat import import_torch
from hpcmtl.training.torch.first_step import compare_step
from hpcmtl.training.torch.gradients import FlatGradients
from hpcmtl.training.torch.losses import TorchLoss, weighted_sum
from hpcmtl.training.torch.network import ONE_AT_A_TIME, TorchNetwork, array_of
from hpcmtl.training.torch.optimizer import TorchUpdater
from hpcmtl.training.torch.statistics import TorchBatchStatistics
from hpcmtl.training.torch.training_pass import examine, restored
from hpcmtl.training.traits import LearnerTraits

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from hpcmtl.arrays import Arrays
    from hpcmtl.frameworks.device import Device
    from hpcmtl.networks.description import NetworkDescription
    from hpcmtl.networks.models import Shape
    from hpcmtl.networks.objective import Objective
    from hpcmtl.networks.parameter_mapping import ParameterMapping
    from hpcmtl.training.learner import LearnerSettings, StepInput, Which
    from hpcmtl.training.step_comparison import StepComparison

torch = import_torch()


class TorchLearner(TorchNetwork):
    """A `TorchNetwork` that trains on one rank; see `Learner`."""

    def __init__(
        self,
        network: NetworkDescription,
        sample: Shape,
        objectives: Sequence[Objective],
        settings: LearnerSettings,
        device: Device = HOST,
    ) -> None:
        """Builds the network for samples of a shape; the objectives are in the order of its outputs."""
        super().__init__(network, sample, [objective.name for objective in objectives], settings.seed, device)
        self._settings = settings
        self._frozen = frozen_names(self.tensors, settings.freeze)
        frozen = {id(self.tensors[name]) for name in self._frozen}
        for name in self._frozen:
            self.tensors[name].requires_grad_(requires_grad=False)
        self._batch_statistics = TorchBatchStatistics(self.module, frozen)
        # Frozen statistics are used and kept in training.
        self._fixed = [each for each in self.module.modules() if id(getattr(each, "running_mean", None)) in frozen]
        self.set_training(active=True)
        single = distinct(self.tensors)
        with ONE_AT_A_TIME:
            self._facts = examine(self.module, single, sample)
        self._trained, self._unreached = self._split(single)
        if not self._trained:
            raise InputError([nothing_to_train(settings.freeze)])
        self._gradients = FlatGradients(self._trained)
        floats = [
            name for name in self._facts.changed if single[name].is_floating_point() and id(single[name]) not in frozen
        ]
        self._arrays: dict[Which, Mapping[str, Any]] = {
            "gradients": self._gradients.by_name,
            "touched_rows": {},
            "trained": self._trained,
            "parameters": single,
            "statistics": {name: single[name] for name in floats},
        }
        self._views: dict[Which, Arrays] = {}
        self._loss = TorchLoss(self.module, objectives, self.place)
        self._updater = TorchUpdater(self._trained, settings.optimizer)
        self._pending: list[tuple[list[Any], np.ndarray[Any, Any], int]] = []

    def _split(self, tensors: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
        """Returns the parameters that are trained, and those that no output depends on."""
        wanted = {name: each for name, each in tensors.items() if each.requires_grad}
        reached = frozenset().union(*self._facts.reached)
        return (
            {name: each for name, each in wanted.items() if name in reached},
            {name: each for name, each in wanted.items() if name not in reached},
        )

    @property
    def traits(self) -> LearnerTraits:
        """See `Learner`."""
        statistics = set(map(id, self._arrays["statistics"].values()))
        normalised = {id(each) for module in self._batch_statistics.modules for each in module.buffers()}
        return LearnerTraits(
            random_network=self._facts.draws,
            random_optimizer=self._updater.may_draw,
            batch_statistics=bool(statistics),
            whole_batch_statistics=bool(statistics) and statistics <= normalised,
        )

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
        with ONE_AT_A_TIME:
            optimizer = self._settings.optimizer
            return compare_step(self._loss, self._trained, optimizer, batch, rate=rate, traits=self.traits)

    def run_uncompiled(self) -> None:
        """See `Learner`; nothing is compiled."""

    def forward_backward(self, batch: StepInput, weights: Sequence[float], scale: float) -> None:
        """See `Learner`.

        Raises:
            TaskFailedError: a parameter takes part that took none when the network was examined.
        """
        self.set_training(active=True)
        self._gradients.clear()
        several = batch.ranks > 1
        if several:
            self._batch_statistics.before_pass(counts=not batch.filler)
        losses = self._loss.backward(batch, weights, scale)
        if several:
            self._batch_statistics.after_pass(batch.ranks)
        self._pending.append((losses, batch.weights, batch.global_samples))
        late = [name for name, parameter in self._unreached.items() if parameter.grad is not None]
        if late:
            text = f"parameters {', '.join(late)} take part in this batch, but in none of samples of ones"
            raise TaskFailedError(f"{text}: they are not trained; let every forward pass use all parameters")

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

    def gradients_finite(self) -> bool:
        """See `Learner`."""
        return self._gradients.finite()

    def objective_gradients(self, batch: StepInput, scale: float) -> tuple[Arrays, ...]:
        """See `Learner`; one forward pass, and a backward pass for each objective."""
        self.set_training(active=True)
        used = [sum(name in reached for reached in self._facts.reached) for name in self._trained]
        shared = [name for name, times in zip(self._trained, used, strict=True) if times > 1 or len(self.names) == 1]
        parameters = [self._trained[name] for name in shared]
        found = []
        with random_numbers.kept(), restored({name: self.tensors[name] for name in self._facts.changed}):
            for loss in self._loss.losses(batch.inputs, batch.targets):
                total = weighted_sum([loss], batch.weights, [scale])
                gradients = torch.autograd.grad(total, parameters, retain_graph=True, materialize_grads=True)
                found.append({name: array_of(each).copy() for name, each in zip(shared, gradients, strict=True)})
        return tuple(found)

    def take_batch_statistics(self) -> None:
        """See `Learner`."""
        self._batch_statistics.update()

    def apply(self, rate: float, rescale: float = 1.0) -> None:
        """See `Learner`."""
        if rescale != 1.0:
            self._gradients.buffer.mul_(rescale)
        self._updater.update(rate)

    def applied_gradients(self, pattern: str) -> Arrays:
        """See `Learner`."""
        changed = {id(parameter): name for name, parameter in self._trained.items()}
        matching = ((n, p) for n, p in self.tensors.items() if fnmatch.fnmatchcase(n, pattern) and id(p) in changed)
        return {name: array_of(parameter.grad).copy() for name, parameter in matching}

    def collect_losses(self, in_flight: int = 0) -> np.ndarray[Any, Any]:
        """See `Learner`."""
        count = max(len(self._pending) - in_flight, 0)
        done, self._pending = self._pending[:count], self._pending[count:]
        shares = [
            [float(np.dot(array_of(loss), weights)) / samples for loss in losses] for losses, weights, samples in done
        ]
        return np.array(shares).reshape(len(done), len(self.names))

    def state(self) -> Arrays:
        """See `Learner`."""
        optimizer = {OPTIMIZER + name: array for name, array in self._updater.state().items()}
        return {**self.parameter_arrays(), **optimizer}

    def load_state(self, state: Mapping[str, np.ndarray[Any, Any]]) -> None:
        """See `Learner`."""
        self.load_parameters(state)
        self._updater.load_state({n.removeprefix(OPTIMIZER): a for n, a in state.items() if n.startswith(OPTIMIZER)})

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
        self._pending.clear()
