"""A second framework, small and in plain numpy: dense networks, trained by gradient descent with momentum.

It proves that a second framework needs no change of hpcmtl, and shows the parts that it has to supply. Parameters have
the names of the built-in models: `body.1.weight` of shape (outputs, inputs), where 0 is the flattening of the samples.
"""

from __future__ import annotations

import fnmatch
import math
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from hpcmtl.errors import InputError, Problem, located, nearest
from hpcmtl.exchange.store import PARAMETERS
from hpcmtl.frameworks.device import HOST
from hpcmtl.frameworks.environment import EnvironmentNeeds
from hpcmtl.networks.description import Leaf, Part
from hpcmtl.networks.models import Mlp
from hpcmtl.networks.shapes import only_input
from hpcmtl.training.learner import OPTIMIZER
from hpcmtl.training.micro_batches import portions_of
from hpcmtl.training.network_facts import NetworkFacts
from hpcmtl.training.step_comparison import StepComparison
from hpcmtl.training.traits import LearnerTraits

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from hpcmtl.arrays import Arrays
    from hpcmtl.frameworks.device import Device
    from hpcmtl.jobfile.kinds import FrameworkNeeds
    from hpcmtl.jobfile.tasks import Optimizer
    from hpcmtl.networks.description import NetworkDescription
    from hpcmtl.networks.objective import Objective
    from hpcmtl.networks.parameter_mapping import ParameterMapping
    from hpcmtl.networks.shapes import InputShapes
    from hpcmtl.training.learner import Which
    from hpcmtl.training.learner_settings import LearnerSettings
    from hpcmtl.training.objective_rows import ObjectiveWeights
    from hpcmtl.training.step_input import StepInput

    Array = np.ndarray[Any, Any]

_ACTIVATIONS = {  # function, and its derivative from its value
    "relu": (lambda x: np.maximum(x, 0), lambda y: (y > 0).astype(np.float32)),
    "tanh": (np.tanh, lambda y: 1 - y * y),
    "sigmoid": (lambda x: 1 / (1 + np.exp(-x)), lambda y: y * (1 - y)),
    None: (lambda x: x, np.ones_like),
}
_UPDATES, _MOMENTUM = "updates", "/momentum"


class Block(Protocol):
    """A piece of a network; `backward` belongs to the last `forward`."""

    def forward(self, x: Array, masks: np.random.Generator | None) -> Array:
        """Outputs for samples; `masks` draws those of dropout in a training."""

    def backward(self, slopes: Array) -> Array:
        """Adds the gradients of its parameters, and returns those of its inputs."""


class Dense:
    """A dense layer with its activation, and dropout after it."""

    def __init__(
        self, prefix: str, sizes: tuple[int, int], activation: str | None, dropout: float, store: Store
    ) -> None:
        self._weight, self._weight_slopes = store.make(f"{prefix}weight", (sizes[1], sizes[0]))
        self._bias, self._bias_slopes = store.make(f"{prefix}bias", (sizes[1],))
        (self._function, self._derivative), self._dropout = _ACTIVATIONS[activation], dropout

    def forward(self, x: Array, masks: np.random.Generator | None) -> Array:
        self._x, self._mask = x, np.float32(1)
        self._y = self._function(x @ self._weight.T + self._bias)
        if masks is not None and self._dropout:
            self._mask = (masks.random(self._y.shape) >= self._dropout).astype(np.float32) / (1 - self._dropout)
        return self._y * self._mask

    def backward(self, slopes: Array) -> Array:
        slopes = slopes * self._mask * self._derivative(self._y)
        self._weight_slopes += slopes.T @ self._x
        self._bias_slopes += slopes.sum(axis=0)
        return slopes @ self._weight


class Chain:
    """Blocks one after the other, some of which are parts that a job can name."""

    def __init__(self, blocks: Sequence[Block], parts: Mapping[str, Block] | None = None) -> None:
        self.blocks, self.parts = blocks, dict(parts or {})

    def forward(self, x: Array, masks: np.random.Generator | None) -> Array:
        for block in self.blocks:
            x = block.forward(x, masks)
        return x

    def backward(self, slopes: Array) -> Array:
        for block in reversed(self.blocks):
            slopes = block.backward(slopes)
        return slopes


class Flatten:
    """Samples as vectors."""

    def forward(self, x: Array, masks: np.random.Generator | None) -> Array:
        return x.reshape(len(x), -1)

    def backward(self, slopes: Array) -> Array:
        return slopes  # nobody needs the gradients of the samples


class Store:
    """Parameters and gradients by name, in the order in which they are made."""

    def __init__(self, seed: int) -> None:
        self.parameters: Arrays = {}
        self.gradients: Arrays = {}
        self._random = np.random.default_rng(seed)

    def make(self, name: str, shape: tuple[int, ...]) -> tuple[Array, Array]:
        """A new parameter and its gradient: biases begin at 0, weights as Glorot and Bengio (2010) say."""
        bound = math.sqrt(6 / sum(shape)) if len(shape) > 1 else 0.0
        self.parameters[name] = self._random.uniform(-bound, bound, shape).astype(np.float32)
        self.gradients[name] = np.zeros(shape, np.float32)
        return self.parameters[name], self.gradients[name]


def build(network: NetworkDescription, inputs: int, store: Store, prefix: str = "") -> tuple[Chain, int]:
    """The network for vectors of `inputs` numbers, and the number of its outputs; heads are left to the caller."""
    if isinstance(network, Part):
        if not isinstance(network.whole, Leaf) or network.part != "body":
            raise InputError([Problem(f"part {network.part}", "only the body of an mlp can be taken")])
        return _body(_mlp(network.whole), inputs, store, prefix)
    model = _mlp(network)
    body, width = _body(model, inputs, store, f"{prefix}body.")
    output = Dense(f"{prefix}output.", (width, model.outputs), None, 0.0, store)
    return Chain([body, output], {"body": body}), model.outputs


def _mlp(network: NetworkDescription) -> Mlp:
    if not isinstance(network, Leaf) or not isinstance(network.model, Mlp):
        raise InputError([Problem("model", "this framework builds dense networks (mlp) alone")])
    return network.model


def _body(model: Mlp, inputs: int, store: Store, prefix: str) -> tuple[Chain, int]:
    blocks, number = [Flatten()], 1
    for width in model.widths:
        blocks.append(Dense(f"{prefix}{number}.", (inputs, width), model.activation, model.dropout, store))
        inputs, number = width, number + (2 if model.dropout else 1)
    return Chain(blocks), inputs


class NumpyNetwork:
    """See `hpcmtl.training.learner.Network`."""

    def __init__(
        self,
        network: NetworkDescription,
        samples: InputShapes,
        names: Sequence[str],
        seed: int = 0,
        device: Device = HOST,
    ) -> None:
        self.device, self.names = device, tuple(names)
        self._store, size = Store(seed), math.prod(only_input(samples))
        self.parameters = self._store.parameters
        if isinstance(network, Leaf | Part):
            self._trunk, _ = build(network, size, self._store)
            self._heads, self._parts = [Chain([])], self._trunk.parts
        else:
            self._trunk, code = build(network.trunk, size, self._store, "trunk.")
            heads = [build(head, code, self._store, f"heads.{name}.") for name, head in network.heads]
            self._heads, self._parts = [head for head, _ in heads], {"trunk": self._trunk}

    def unwrapped(self) -> NumpyNetwork:
        return self

    def outputs(self, inputs: Arrays, part: str | None = None) -> Arrays:
        samples = inputs["input"].astype(np.float32)
        if part is not None:
            return {"values": part_of(self, part).forward(samples, None)}
        return dict(zip(self.names, self._run(samples, None), strict=True))

    def load_parameters(self, state: Mapping[str, Array]) -> None:
        for name, parameter in self.parameters.items():
            parameter[...] = state[PARAMETERS + name]

    def load_mapped(self, parameters: Mapping[str, Array], mapping: ParameterMapping) -> int:
        return self._take(parameters, mapping, self.parameters)

    def _run(self, samples: Array, masks: np.random.Generator | None) -> list[Array]:
        code = self._trunk.forward(samples, masks)
        return [head.forward(code, masks) for head in self._heads]

    def _take(self, parameters: Mapping[str, Array], mapping: ParameterMapping, targets: Arrays) -> int:
        count = 0
        for full_name, array in parameters.items():
            name = full_name.removeprefix(PARAMETERS)
            target = mapping.target(name) if full_name.startswith(PARAMETERS) else None
            if target is None or target not in targets:
                continue
            if targets[target].shape != array.shape:
                text = f"{name} has shape {array.shape}, {target} has {targets[target].shape}"
                raise InputError([Problem(f"parameters of {mapping.producer}", text)])
            targets[target][...] = array
            count += 1
        if not count:
            raise InputError([Problem(f"parameters of {mapping.producer}", f"nothing matches {mapping.pattern!r}")])
        return count


def part_of(network: NumpyNetwork, part: str) -> Block:
    """The part of a network that a job names."""
    if part not in network._parts:
        raise InputError([Problem(f"part {part}", f"there is none{nearest(part, network._parts)}")])
    return network._parts[part]


class NumpyLearner(NumpyNetwork):
    """See `hpcmtl.training.learner.Learner`; each step is done when its call returns."""

    def __init__(
        self,
        network: NetworkDescription,
        samples: InputShapes,
        objectives: Sequence[Objective],
        settings: LearnerSettings,
        device: Device = HOST,
    ) -> None:
        super().__init__(network, samples, [objective.name for objective in objectives], settings.seed, device)
        self._losses = [_LOSSES[check_loss(objective.loss)] for objective in objectives]
        self._momentum, self._decay = check_optimizer(settings.optimizer), settings.optimizer.weight_decay
        frozen = frozen_names(self.parameters, settings.freeze)
        self._frozen = {name: array for name, array in self.parameters.items() if name in frozen}
        self._gradients = {name: array for name, array in self._store.gradients.items() if name not in frozen}
        self._velocity = {name: np.zeros_like(array) for name, array in self._gradients.items()}
        self._updates, self._rescale = 0, 1.0
        self._pending: list[list[float]] = []
        self._newest: Array | None = None
        self._masks = np.random.default_rng(settings.seed)

    @property
    def traits(self) -> LearnerTraits:
        return LearnerTraits(may_draw=True)

    def use_group_sum(self, total: Any) -> None:
        pass  # no pass needs one

    def reseed(self, seed: int) -> None:
        self._masks = np.random.default_rng(seed)

    def forward_backward(self, batch: StepInput, weights: ObjectiveWeights, scale: float) -> None:
        losses, slopes = self._forward(batch)
        chosen = weights(self._shares(losses, batch)) if callable(weights) else weights
        self._backward([factor * weight * scale for factor, weight in zip(slopes, chosen, strict=True)], batch)
        self._note(losses, batch)

    def compare_step(self, batch: StepInput, rate: float) -> StepComparison:
        return StepComparison(draws=True)  # nothing is compiled, and there is no other trainer

    def run_uncompiled(self) -> None:
        pass  # it always does

    def backward_each(
        self, batch: StepInput, weights: Sequence[float], scale: float, rows: Array, portions: Array | None = None
    ) -> Iterator[int]:
        losses, slopes = self._forward(batch)
        private = self._private()
        kept = {name: np.zeros_like(array) for name, array in private.items()}
        shares = portions_of(batch, portions)
        for row in range(len(weights) * len(shares)):
            chosen, share = divmod(row, len(shares))
            factors = [scale * weights[chosen] if number == chosen else 0.0 for number in range(len(slopes))]
            self._backward([slope * factor for slope, factor in zip(slopes, factors, strict=True)], shares[share])
            for name, array in private.items():
                kept[name] += array
            values = [array.ravel() for name, array in self._gradients.items() if name not in private]
            rows[row, : sum(each.size for each in values)] = np.concatenate(values)
            yield row
        for name, array in private.items():
            array[...] = kept[name]
        self._note(losses, batch)

    def backward_weighted(
        self, batch: StepInput, factors: Sequence[float], scale: float, weights: Any, place: Any = None
    ) -> None:
        if place is not None:
            raise NotImplementedError("its description has no such place")
        losses, slopes = self._forward(batch)
        used = zip(slopes, weights, factors, strict=True)
        self._backward([slope * scale * weight * factor for slope, weight, factor in used], batch)
        kept = {name: array.copy() for name, array in self._gradients.items() if name not in self._private()}
        self._backward([slope * scale * factor for slope, factor in zip(slopes, factors, strict=True)], batch)
        for name, array in kept.items():
            self._gradients[name][...] = array
        self._note(losses, batch)

    def inner_products(self, batch: StepInput, weights: Sequence[float], scale: float) -> None:
        return None  # the rows are as quick

    def losses_of(self, batch: StepInput) -> Array:
        masks = self._masks.bit_generator.state
        losses, _ = self._forward(batch)
        self._masks.bit_generator.state = masks
        return self._shares(losses, batch)

    def _private(self) -> Arrays:
        several = len(self.names) > 1
        return {name: a for name, a in self._gradients.items() if several and not name.startswith("trunk.")}

    def _shares(self, losses: Sequence[Array], batch: StepInput) -> Array:
        sums = [float(loss @ batch.weights_of(number, loss.shape)) for number, loss in enumerate(losses)]
        return np.array(sums) / batch.global_samples

    def _note(self, losses: Sequence[Array], batch: StepInput) -> None:
        self._newest = self._shares(losses, batch)
        self._pending.append(self._newest.tolist())

    def _forward(self, batch: StepInput) -> tuple[list[Array], list[Array]]:
        """Losses of all samples, and their gradients by the outputs, one entry an objective."""
        made = self._run(batch.inputs["input"].astype(np.float32), self._masks)
        outputs = [np.repeat(each, batch.targets_per_row, axis=0) for each in made]
        given = zip(self._losses, outputs, batch.targets, strict=True)
        pairs = [loss(output, target) for loss, output, target in given]
        return [losses for losses, _ in pairs], [slopes for _, slopes in pairs]

    def _backward(self, slopes: Sequence[Array], batch: StepInput) -> None:
        for array in self._store.gradients.values():
            array[...] = 0
        rows = (len(batch.weights),)
        weighted = [slope * batch.weights_of(number, rows)[:, None] for number, slope in enumerate(slopes)]
        shape = (batch.rows, batch.targets_per_row, -1)
        pairs = zip(self._heads, (each.reshape(shape).sum(axis=1) for each in weighted), strict=True)
        self._trunk.backward(sum(head.backward(slope.astype(np.float32)) for head, slope in pairs))

    def gradients(self) -> Arrays:
        return dict(self._gradients)

    def views(self, which: Which) -> Arrays:
        trained = {name: self.parameters[name] for name in self._gradients}
        arrays = {"gradients": self._gradients, "trained": trained, "parameters": self.parameters}
        arrays["private_gradients"] = self._private()
        return arrays.get(which, {})  # it has neither running statistics nor sparse gradients

    def native(self, which: Which) -> Sequence[Array]:
        return list(self.views(which).values())

    def gradient_norm(self) -> float:
        return math.sqrt(sum(float((array.astype(np.float64) ** 2).sum()) for array in self._gradients.values()))

    def gradients_finite(self) -> bool:
        return all(bool(np.isfinite(array).all()) for array in self._gradients.values())

    def take_batch_statistics(self) -> None:
        pass

    def apply(self, rate: float, rescale: float = 1.0, objectives: Sequence[int] | None = None) -> None:
        self._updates, self._rescale = self._updates + 1, rescale
        own = tuple(f"heads.{self.names[number]}." for number in objectives or ())
        for name, gradient in self._gradients.items():
            if objectives is not None and name.startswith("heads.") and not name.startswith(own):
                continue
            parameter, velocity = self.parameters[name], self._velocity[name]
            velocity *= np.float32(self._momentum)
            velocity -= np.float32(rate) * (np.float32(rescale) * gradient + np.float32(self._decay) * parameter)
            parameter += velocity

    def applied_gradients(self, pattern: str) -> Arrays:
        names = fnmatch.filter(self._gradients, pattern)
        return {name: self._gradients[name] * np.float32(self._rescale) for name in names}

    def collect_losses(self, in_flight: int = 0) -> Array:
        count = max(len(self._pending) - in_flight, 0)
        done, self._pending = self._pending[:count], self._pending[count:]
        return np.array(done).reshape(count, len(self.names))

    def newest_losses(self) -> Array | None:
        return self._newest

    def state(self) -> Arrays:
        parameters = {PARAMETERS + name: array.copy() for name, array in self.parameters.items()}
        velocity = {f"{OPTIMIZER}{name}{_MOMENTUM}": array.copy() for name, array in self._velocity.items()}
        return {**parameters, **velocity, OPTIMIZER + _UPDATES: np.array([self._updates])}

    def load_state(self, state: Mapping[str, Array]) -> None:
        self.load_parameters(state)
        for name, array in self._velocity.items():
            array[...] = state[f"{OPTIMIZER}{name}{_MOMENTUM}"]
        self._updates = int(state[OPTIMIZER + _UPDATES][0])

    def refresh_frozen(self, parameters: Mapping[str, Array], mapping: ParameterMapping) -> int:
        return self._take(parameters, mapping, self._frozen)

    def parameters_matching(self, pattern: str) -> Arrays:
        return {name: self.parameters[name].copy() for name in fnmatch.filter(self.parameters, pattern)}

    def set_parameters(self, arrays: Mapping[str, Array]) -> None:
        for name, array in arrays.items():
            self.parameters[name][...] = array

    def quiesce(self) -> None:
        self._pending.clear()


def _softmax_ce(scores: Array, labels: Array) -> tuple[Array, Array]:
    shifted = scores - scores.max(axis=1, keepdims=True)
    chances = np.exp(shifted)
    chances /= chances.sum(axis=1, keepdims=True)
    rows, labels = np.arange(len(labels)), labels.astype(np.int64)
    losses = np.log(np.exp(shifted).sum(axis=1)) - shifted[rows, labels]
    chances[rows, labels] -= 1
    return losses, chances


def _l2(outputs: Array, targets: Array) -> tuple[Array, Array]:
    errors = outputs - targets.reshape(outputs.shape).astype(np.float32)
    return (errors * errors).mean(axis=1) / 2, errors / errors.shape[1]


_LOSSES = {"softmax_ce": _softmax_ce, "l2": _l2}


def check_loss(name: str) -> str:
    """The name, if it is that of a loss."""
    if name not in _LOSSES:
        raise InputError([Problem(f"loss {name}", f"there is none{nearest(name, _LOSSES)}")])
    return name


def check_optimizer(optimizer: Optimizer) -> float:
    """The momentum of an optimizer that can be used."""
    others = set(optimizer.options) - {"momentum"}
    if optimizer.name != "sgd" or others:
        text = "this framework has sgd alone, with momentum as its only option"
        raise InputError([Problem(f"optimizer {optimizer.name}", text)])
    return float(optimizer.options.get("momentum", 0.0))


def frozen_names(parameters: Arrays, patterns: Sequence[str]) -> set[str]:
    """The names that match a pattern; each must match some."""
    for pattern in patterns:
        if not fnmatch.filter(parameters, pattern):
            raise InputError([Problem(f"freeze: {pattern}", f"matches no parameter{nearest(pattern, parameters)}")])
    return {name for pattern in patterns for name in fnmatch.filter(parameters, pattern)}


class NumpyFramework:
    """See `hpcmtl.training.framework.Framework`."""

    def network(
        self, network: NetworkDescription, samples: InputShapes, names: tuple[str, ...], device: Device = HOST
    ) -> NumpyNetwork:
        return NumpyNetwork(network, samples, names, device=device)

    def learner(
        self,
        network: NetworkDescription,
        samples: InputShapes,
        objectives: tuple[Objective, ...],
        settings: LearnerSettings,
        device: Device = HOST,
    ) -> NumpyLearner:
        return NumpyLearner(network, samples, objectives, settings, device)

    def prepare_environment(self, tasks: Mapping[str, FrameworkNeeds]) -> EnvironmentNeeds:
        return EnvironmentNeeds()

    def gpu_problem(self, number: int) -> str | None:
        return "numpy computes on CPUs alone"

    def check(self, needs: FrameworkNeeds) -> NetworkFacts | None:
        problems: list[Problem] = []
        for objective in needs.objectives:
            with located("loss", problems):
                check_loss(objective.loss)
        if needs.optimizer is not None:
            with located("optimizer", problems):
                check_optimizer(needs.optimizer)
        facts = None
        if needs.network is not None and needs.samples is not None:
            with located("model", problems):
                names = [each.name for each in needs.objectives] or ["main"]
                network = NumpyNetwork(needs.network, needs.samples, names)
                frozen_names(network.parameters, needs.freeze)
                outputs = network.outputs({"input": np.zeros((2, *needs.samples["input"]), np.float32)}, needs.part)
                shapes = {name: array.shape for name, array in network.parameters.items()}
                facts = NetworkFacts(outputs=tuple(array.shape[1:] for array in outputs.values()), parameters=shapes)
        if problems:
            raise InputError(problems)
        return facts

    def collectives(self) -> Mapping[str, Any]:
        return {}  # those over numpy arrays come with hpcmtl

    def compressors(self) -> Mapping[str, Any]:
        return {}
