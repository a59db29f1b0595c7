"""Tries all that a task asks of PyTorch once: losses, optimizer, network, part, frozen parameters, and one step."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from hpcmtl.errors import InputError, Problem
from hpcmtl.training.learner_settings import settings_of
from hpcmtl.training.network_facts import NetworkFacts
from hpcmtl.training.parameter_groups import GroupedUpdater, with_frozen_groups
from hpcmtl.training.parameter_names import distinct, frozen_names, nothing_to_train, ties
from hpcmtl.training.step_input import StepInput
from hpcmtl.training.torch.compat import import_torch
from hpcmtl.training.torch.description import TORCH
from hpcmtl.training.torch.group_batchnorm import synchronise
from hpcmtl.training.torch.learner import TorchLearner
from hpcmtl.training.torch.losses import make_loss, tensor_of
from hpcmtl.training.torch.make_optimizer import make_optimizer
from hpcmtl.training.torch.network import TorchNetwork
from hpcmtl.training.torch.optimizer import TorchUpdater
from hpcmtl.training.torch.parts import output_of_part
from hpcmtl.training.torch.place import naming_moves
from hpcmtl.training.torch.samples import trial_samples
from hpcmtl.training.torch.training_pass import examine
from hpcmtl.training.torch.zoo import outputs_of
from hpcmtl.training.trial_rows import trial_rows
from hpcmtl.training.trials import (
    ROWS,
    Trials,
    noting,
    require_own_values,
    said_of,
    shape_of_sample,
    shapes_of_loss,
    tried,
)

if TYPE_CHECKING:
    from hpcmtl.jobfile.kinds import FrameworkNeeds
    from hpcmtl.jobfile.tasks import Optimizer
    from hpcmtl.networks.shapes import InputShapes, Shape

torch = import_torch()


def check(needs: FrameworkNeeds) -> NetworkFacts | None:
    """See `Framework.check`."""
    trials = Trials(TORCH.name, loss=make_loss, optimizer=_optimizer, network=_network_facts, step=_step)
    with naming_moves():
        return tried(needs, trials)


def _optimizer(optimizer: Optimizer) -> object:
    return make_optimizer(optimizer, [torch.nn.Parameter(torch.zeros(2, 2))])


def _network_facts(needs: FrameworkNeeds, samples: InputShapes, problems: list[Problem]) -> NetworkFacts:
    """Builds the network and runs it; appends patterns that match nothing to the problems."""
    assert needs.network is not None
    network = TorchNetwork(needs.network, samples, [each.name for each in needs.objectives], seed=0)
    if needs.sync_batchnorm:
        with noting(problems, "sync_batchnorm"):
            synchronise(network.module)
    frozen: list[str] = []
    for pattern in dict.fromkeys((*needs.freeze, *needs.frozen_for_now)):
        with noting(problems, "freeze"):
            found = frozen_names(network.tensors, [pattern])
            frozen += found if pattern in needs.freeze else []
    for name in frozen:
        network.tensors[name].requires_grad_(requires_grad=False)
    single = distinct(network.tensors)
    trained = {name: each for name, each in single.items() if each.requires_grad}
    if needs.optimizer and not trained:
        problems.append(nothing_to_train(needs.freeze))
    ones = trial_samples(ROWS, samples, network.values)
    with said_of("the network fails on samples of ones", "model"), torch.no_grad():
        part = needs.part
        outputs = outputs_of(network.module, ones) if part is None else [output_of_part(network.module, part, ones)]
        shapes = tuple(shape_of_sample(tuple(output.shape)) for output in map(_tensor, outputs))
    unused: list[str] = []
    if needs.optimizer and not problems:
        network.set_training(active=True)
        with said_of("a forward pass in training fails on samples of ones", "model"):
            reached = frozenset[str]().union(*examine(network.module, single, ones).reached)
        unused = [name for name in trained if name not in reached] if part is None else []
        updated = {name: each for name, each in trained.items() if name not in unused}
        optimizer = with_frozen_groups(settings_of(needs), network.tensors, updated).optimizer
        _update(optimizer, updated, ties(network.tensors), problems)
    return NetworkFacts(
        outputs=shapes,
        parameters={name: tuple(each.shape) for name, each in network.tensors.items()},
        tied=tuple(ties(network.tensors)),
        unused=tuple(unused),
        bounded=_bounded(network) if needs.optimizer else (),
    )


def _bounded(network: TorchNetwork) -> tuple[str, ...]:
    """Returns the weights of embeddings with `max_norm`; a pass scales down the rows that it reads."""
    modules = (torch.nn.Embedding, torch.nn.EmbeddingBag)
    found = {id(each.weight) for each in network.module.modules() if isinstance(each, modules) and each.max_norm}
    return tuple(name for name, each in network.tensors.items() if id(each) in found)


def _tensor(output: Any) -> Any:
    if not isinstance(output, torch.Tensor):
        text = f"puts out a {type(output).__name__}; hpcmtl trains tensors, or a list of them, one for each target"
        raise InputError([Problem("model", text)])
    return output


def _update(
    optimizer: Optimizer, trained: dict[str, Any], tied: list[tuple[str, ...]], problems: list[Problem]
) -> None:
    """Makes one update with gradients of 0, and asks for the state that it leaves."""
    where = f"optimizer {optimizer.name}"
    for parameter in trained.values():
        parameter.grad = torch.zeros_like(parameter)
    with said_of("an update of the parameters by `step()`, without a closure, fails", where):
        updater = GroupedUpdater(trained, optimizer, TorchUpdater, tied)
        updater.update(optimizer.learning_rate, 1.0)
    with noting(problems, "optimizer"):
        updater.state()


def _step(needs: FrameworkNeeds) -> None:
    """Makes one step on samples of ones and targets of zeros, where all shapes are known."""
    known = [target for target in needs.targets if target.shape is not None]
    if needs.network is None or needs.samples is None or needs.optimizer is None or len(known) < len(needs.targets):
        return
    settings = settings_of(needs, consistency=needs.consistency)
    learner = TorchLearner(needs.network, needs.samples, needs.objectives, settings)
    targets = tuple(
        np.zeros((ROWS, *(each.shape or ())), np.float32 if each.kind == "f" else np.int64) for each in known
    )
    batch = StepInput(trial_rows(ROWS, needs.samples, learner.values), targets, np.ones(ROWS, np.float32), ROWS)
    for place, objective in enumerate(needs.objectives):
        if ":" in objective.loss:
            _require_values_of_samples(objective.loss, learner, place, targets[place])
    with said_of("a forward and backward pass on ones fails", "model"):
        learner.forward_backward(batch, [each.weight for each in needs.losses], 1.0)


def _require_values_of_samples(name: str, learner: TorchLearner, place: int, target: np.ndarray[Any, Any]) -> None:
    """Refuses a user's loss that fails, or whose values have an axis that grows with the batch."""
    loss = make_loss(name)

    def shapes(rows: int) -> tuple[Shape, Shape]:
        output = outputs_of(learner.module, trial_samples(rows, learner.samples, learner.values))[place]
        targets = tensor_of(np.zeros((rows, *target.shape[1:]), target.dtype))
        return shapes_of_loss(name, loss, output, targets)

    require_own_values(name, shapes, target.shape, "reshape")
