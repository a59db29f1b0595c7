"""A Gluon network as a `Learner`."""

from __future__ import annotations

import fnmatch
import threading
from typing import TYPE_CHECKING, Any

import numpy as np

from hpcmtl.errors import InputError, Problem, nearest
from hpcmtl.exchange.store import PARAMETERS
from hpcmtl.training.gluon.compat import import_mxnet
from hpcmtl.training.gluon.compression import Fp16Wire, LossScale, all_finite, fp16_pays
from hpcmtl.training.gluon.layout import overwrite, restore_default_layout
from hpcmtl.training.gluon.losses import TrainingLoss
from hpcmtl.training.gluon.optimizer import Updater
from hpcmtl.training.gluon.zoo import build, outputs_of, part_of
from hpcmtl.training.learner import STEPS_IN_FLIGHT

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from hpcmtl.arrays import Arrays
    from hpcmtl.communicators.base import Communicator
    from hpcmtl.networks.description import NetworkDescription
    from hpcmtl.networks.models import Shape
    from hpcmtl.networks.objective import Objective
    from hpcmtl.networks.parameter_mapping import ParameterMapping
    from hpcmtl.training.gluon.engines.base import Engine
    from hpcmtl.training.gluon.engines.select import Choice
    from hpcmtl.training.learner import LearnerSettings, StepInput

mx = import_mxnet()

OPTIMIZER = "optimizer/"
LOSS_SCALE = "loss_scale"

# MXNet has one stream of random numbers for all threads, and ranks may be threads.
_ONE_AT_A_TIME = threading.Lock()


class GluonNetwork:
    """A network with parameters, to be run: what extract, predict and evaluate need."""

    def __init__(self, network: NetworkDescription, sample: Shape, names: Sequence[str], seed: int) -> None:
        """Build and initialise.

        Args:
            network: description from the job.
            sample: shape of one input sample.
            names: of the objectives, in the order of the network's outputs.
            seed: of the initial parameters.
        """
        with _ONE_AT_A_TIME:
            mx.random.seed(seed)
            self.block = build(network, sample)
            self.block.initialize(mx.init.Xavier(), force_reinit=False)
            self.block(mx.nd.zeros((1, *sample)))  # users' blocks may learn their shapes only from data
        self.block.hybridize(static_alloc=True)
        self.names = tuple(names)
        self.parameters: dict[str, Any] = dict(sorted(self.block._collect_params_with_prefix().items()))  # noqa: SLF001 - the names that save_parameters writes; the public names count instances of the process

    def outputs(self, inputs: np.ndarray[Any, Any], part: str | None = None) -> Arrays:
        """See `Learner`.

        Raises:
            InputError: if there is no such part.
        """
        samples = mx.nd.array(inputs, dtype="float32")
        if part is not None:
            return {"values": part_of(self.block, part)(samples).asnumpy()}
        made = outputs_of(self.block, samples)
        return {name: output.asnumpy() for name, output in zip(self.names, made, strict=True)}

    def parameter_arrays(self) -> Arrays:
        """Copies of all parameters, under names that begin with ``parameters/``."""
        return {PARAMETERS + name: parameter.data().asnumpy() for name, parameter in self.parameters.items()}

    def load_parameters(self, state: Mapping[str, np.ndarray[Any, Any]]) -> None:
        """Overwrite all parameters; the names and shapes must be those of `parameter_arrays`."""
        for name, parameter in self.parameters.items():
            overwrite(parameter.data(), state[PARAMETERS + name])

    def load_mapped(self, parameters: Mapping[str, np.ndarray[Any, Any]], mapping: ParameterMapping) -> int:
        """See `Learner`.

        Raises:
            InputError: if nothing matches, or a matching parameter has another shape.
        """
        return self._take(parameters, mapping, self.parameters)

    def _take(
        self, parameters: Mapping[str, np.ndarray[Any, Any]], mapping: ParameterMapping, targets: Mapping[str, Any]
    ) -> int:
        taken = 0
        for full_name, array in parameters.items():
            name = full_name.removeprefix(PARAMETERS)
            target = mapping.target(name) if full_name.startswith(PARAMETERS) else None
            if target is None or target not in targets:
                continue
            mine = targets[target]
            if tuple(mine.shape) != array.shape:
                text = f"parameter {name} of {mapping.producer} has shape {array.shape}, {target} has {mine.shape}"
                raise InputError([Problem(f"parameters of {mapping.producer}", text)])
            overwrite(mine.data(), array)
            taken += 1
        if not taken:
            text = f"no parameter matches {mapping.pattern!r}; this network has {', '.join(targets)}"
            raise InputError([Problem(f"parameters of {mapping.producer}", text)])
        return taken


class GluonLearner(GluonNetwork):
    """A `GluonNetwork` that trains with its group; see `Learner`."""

    def __init__(
        self,
        network: tuple[NetworkDescription, Shape],
        objectives: Sequence[Objective],
        settings: LearnerSettings,
        engine: tuple[Choice, Engine],
        group: Communicator,
    ) -> None:
        """Build the network and bring all ranks to the same parameters later by `synchronise`.

        Args:
            network: description, and the shape of one input sample.
            objectives: what it is trained for, in the order of its outputs.
            settings: optimizer, compression, frozen parameters, seed.
            engine: what was chosen and why, and what combines the gradients; closed by `close`.
            group: for agreements between the ranks.
        """
        super().__init__(*network, [objective.name for objective in objectives], settings.seed)
        frozen = freeze(self.parameters, settings.freeze)
        self._frozen = {name: parameter for name, parameter in self.parameters.items() if parameter in frozen}
        _freeze_statistics(self.block, frozen)
        self._trained = {n: p for n, p in self.parameters.items() if p.grad_req != "null"}
        if not self._trained:
            raise InputError([Problem("freeze", f"{', '.join(settings.freeze)} leaves no parameter to train")])
        self._statistics = [p for p in self.parameters.values() if _changes_untrained(p) and p not in frozen]
        self._gradients = [parameter.grad() for parameter in self._trained.values()]
        self._loss = TrainingLoss(self.block, objectives)
        self._updater = Updater(self._trained, settings.optimizer)
        self._pending: list[tuple[list[Any], np.ndarray[Any, Any], int]] = []
        self._scale = LossScale()
        self.skipped_steps = 0
        self._asked_compression = settings.compression
        self.join(engine, group)

    def join(self, engine: tuple[Choice, Engine], group: Communicator) -> None:
        """Train with this group from now on, by an engine that is open on it."""
        choice, self._engine = engine
        self.engine_name, self.engine_reason = choice.name, choice.reason
        self._group = group
        self._in_group = True
        self._wire, self.compression = self._choose_wire(self._asked_compression)

    def reseed(self, seed: int) -> None:
        """See `Learner`."""
        mx.random.seed(seed)

    def step(self, batch: StepInput, learning_rate: float) -> None:
        """See `Learner`."""
        # Each rank's loss is its sum over the size of the WHOLE batch, times the ranks: the mean over the group is then
        # the mean over the batch, however unevenly it was dealt.
        scale = self._engine.size / batch.global_samples * (self._scale.value if self._wire else 1.0)
        losses = self._loss.backward(batch, scale)
        self._pending.append((losses, batch.weights, batch.global_samples))
        ahead = len(self._pending)
        if ahead > STEPS_IN_FLIGHT and ahead % STEPS_IN_FLIGHT == 0:  # a wait at each step costs 6 % on two cores
            self._pending[-1 - STEPS_IN_FLIGHT][0][-1].wait_to_read()
        gradients = self._gradients
        if self._wire is None:
            self._engine.mean(gradients)
            self._updater.update(learning_rate, 1.0)
            return
        self._wire.mean(self._engine, gradients)
        finite = all_finite(gradients, self._group)
        if finite:
            self._updater.update(learning_rate, 1.0 / self._scale.value)
        else:
            self.skipped_steps += 1
        self._scale = self._scale.after(finite)

    def collect_losses(self, in_flight: int = 0) -> np.ndarray[Any, Any]:
        """See `Learner`."""
        count = max(len(self._pending) - in_flight, 0)
        done, self._pending = self._pending[:count], self._pending[count:]
        shares = [
            [float(np.dot(loss.asnumpy(), weights)) / samples for loss in losses] for losses, weights, samples in done
        ]
        return np.array(shares).reshape(len(done), len(self.names))

    def state(self) -> Arrays:
        """See `Learner`."""
        if self._statistics:
            self._engine.mean([parameter.data() for parameter in self._statistics])  # each rank has its own batches'
        scale = np.array([self._scale.value, self._scale.good_steps])
        optimizer = {OPTIMIZER + name: array for name, array in self._updater.state().items()}
        return {**self.parameter_arrays(), **optimizer, LOSS_SCALE: scale}

    def load_state(self, state: Mapping[str, np.ndarray[Any, Any]]) -> None:
        """See `Learner`."""
        self.load_parameters(state)
        self._updater.load_state({n.removeprefix(OPTIMIZER): a for n, a in state.items() if n.startswith(OPTIMIZER)})
        value, good_steps = state[LOSS_SCALE]
        self._scale = LossScale(float(value), int(good_steps))

    def refresh_frozen(self, parameters: Mapping[str, np.ndarray[Any, Any]], mapping: ParameterMapping) -> int:
        """See `Learner`.

        Raises:
            InputError: if nothing that is frozen matches.
        """
        return self._take(parameters, mapping, self._frozen)

    def parameters_matching(self, pattern: str) -> Arrays:
        """See `Learner`."""
        return {n: p.data().asnumpy() for n, p in self.parameters.items() if fnmatch.fnmatchcase(n, pattern)}

    def set_parameters(self, arrays: Mapping[str, np.ndarray[Any, Any]]) -> None:
        """See `Learner`."""
        for name, array in arrays.items():
            overwrite(self.parameters[name].data(), array)

    def gradients(self, pattern: str) -> Arrays:
        """See `Learner`."""
        scale = self._scale.value if self._wire else 1.0
        matching = ((n, p) for n, p in self._trained.items() if fnmatch.fnmatchcase(n, pattern))
        return {name: parameter.grad().asnumpy() / scale for name, parameter in matching}

    def synchronise(self) -> None:
        """See `Learner`."""
        self._engine.broadcast([parameter.data() for parameter in self.parameters.values()])

    def close(self) -> None:
        """See `Learner`."""
        if not self._in_group:
            return
        self._in_group = False
        self._pending.clear()
        try:
            mx.nd.waitall()  # nothing may be under way on a communicator that is about to go
            restore_default_layout(parameter.data() for parameter in self.parameters.values())
        finally:
            self._engine.close()

    def _choose_wire(self, asked: str) -> tuple[Fp16Wire | None, str]:
        if asked == "none" or self._engine.size == 1:
            return None, "none" if asked == "none" else "none (one rank)"
        if asked == "auto":
            shapes = [tuple(parameter.shape) for parameter in self._trained.values()]
            if not fp16_pays(self._engine, shapes, self._group):
                return None, "none (fp16 measured slower)"
        wire = Fp16Wire(self._gradients)
        return wire, "fp16" if asked == "fp16" else "fp16 (measured faster)"


def freeze(parameters: Mapping[str, Any], patterns: Sequence[str]) -> list[Any]:
    """Take the parameters that match out of training, and so out of communication; return them.

    Raises:
        InputError: for a pattern that matches nothing.
    """
    frozen = []
    for pattern in patterns:
        matching = fnmatch.filter(parameters, pattern)
        if not matching:
            raise InputError([Problem(f"freeze: {pattern}", f"matches no parameter{nearest(pattern, parameters)}")])
        for name in matching:
            parameters[name].grad_req = "null"
            frozen.append(parameters[name])
    return frozen


def _freeze_statistics(block: Any, frozen: Sequence[Any]) -> None:
    """Let batch normalisation whose running statistics are frozen use them and leave them alone, as evaluation does."""

    def visit(each: Any) -> None:
        if isinstance(each, mx.gluon.nn.BatchNorm) and each.running_mean in frozen:
            each._kwargs["use_global_stats"] = True  # noqa: SLF001 - the way of the constructor's argument

    block.apply(visit)


def _changes_untrained(parameter: Any) -> bool:
    """Whether forward passes change a parameter, as they do running statistics."""
    return not (parameter._differentiable or isinstance(parameter, mx.gluon.Constant))  # noqa: SLF001 - no public name
