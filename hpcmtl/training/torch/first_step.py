"""Comparison of one step with plain PyTorch: our gradients with those of a copy, our update with that of torch.optim.

It shows a parameter that is updated twice or not at all, and a network that changes gradients behind our back.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

from hpcmtl.training.array_difference import NOISE, largest_difference, largest_number
from hpcmtl.training.coupled_rows import ROWS, SEEDS, rows_are_coupled
from hpcmtl.training.learner import StepInput
from hpcmtl.training.step_comparison import StepComparison
from hpcmtl.training.torch import random_numbers
from hpcmtl.training.torch.compat import import_torch
from hpcmtl.training.torch.losses import TorchLoss, weighted_sum
from hpcmtl.training.torch.optimizer import TorchUpdater, make_optimizer
from hpcmtl.training.torch.training_pass import restored

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np

    from hpcmtl.arrays import Arrays
    from hpcmtl.jobfile.tasks import Optimizer
    from hpcmtl.training.traits import LearnerTraits

torch = import_torch()

_CLOSE = 1e-5


def compare_step(
    loss: TorchLoss,
    trained: Mapping[str, Any],
    optimizer: Optimizer,
    batch: StepInput,
    *,
    rate: float,
    traits: LearnerTraits,
) -> StepComparison:
    """Compares gradients and update of a step on a few rows; restores all that a pass changes.

    Args:
        loss: network, in training mode, and losses.
        trained: trained parameters by name.
        optimizer: optimizer of the job.
        batch: a batch, of which the first rows are used.
        rate: learning rate.
        traits: properties of the learner.
    """
    few = StepInput(batch.inputs[:ROWS], tuple(each[:ROWS] for each in batch.targets), batch.weights[:ROWS], ROWS)
    buffers = dict(loss.module.named_buffers())
    gradients = {name: parameter.grad for name, parameter in trained.items()}
    with random_numbers.kept(), restored(buffers), restored(gradients):
        update = _update_difference(loss, trained, optimizer, few, rate)
        as_in_training = not (traits.random_network or traits.batch_statistics)
        coupled = _coupled(loss, batch, train=as_in_training) if batch.ranks > 1 else None
    return StepComparison(update=update, coupled=coupled)


def _update_difference(
    loss: TorchLoss, trained: Mapping[str, Any], optimizer: Optimizer, batch: StepInput, rate: float
) -> str:
    """Returns the largest difference of our step from that of plain PyTorch; an empty text for none."""
    try:
        plain = copy.deepcopy(loss.module)
    except (Exception, SystemExit):  # noqa: BLE001 - users' modules may hold what cannot be copied
        return ""
    named = dict(plain.named_parameters())
    plain_trained = {name: named[name] for name in trained}
    for parameter in plain.parameters():
        parameter.grad = None
    weights = [1.0] * len(batch.targets)
    with random_numbers.seeded(SEEDS[0]):
        losses = TorchLoss(plain, loss.objectives, loss.place).losses(batch.inputs, batch.targets)
        weighted_sum(losses, batch.weights, weights).backward()
    with random_numbers.seeded(SEEDS[0]):
        for parameter in trained.values():
            parameter.grad.zero_()
        loss.backward(batch, weights, 1.0)
    found = {f"the gradient of {name}": _array(each.grad) for name, each in trained.items()}
    expected = {
        f"the gradient of {name}": _array(torch.zeros_like(each) if each.grad is None else each.grad)
        for name, each in plain_trained.items()
    }
    text = largest_difference(found, expected)
    if text:
        return f"a step is not that of plain PyTorch: {text}"
    copies = {name: _copy_of(each) for name, each in trained.items()}
    expected = _changes(plain_trained, lambda: _plain_update(plain_trained, optimizer, rate))
    found = _changes(copies, lambda: TorchUpdater(copies, optimizer).update(rate))
    bounds = {
        name: _CLOSE * largest_number([change]) + NOISE * largest_number([_array(trained[name])])
        for name, change in expected.items()
    }
    text = largest_difference(found, expected, bounds)
    return f"an update by {optimizer.name} is not that of torch.optim: the change of {text}" if text else ""


def _plain_update(parameters: Mapping[str, Any], optimizer: Optimizer, rate: float) -> None:
    made = make_optimizer(optimizer.model_copy(update={"learning_rate": rate}), list(parameters.values()))
    made.step()


def _copy_of(parameter: Any) -> Any:
    made = torch.nn.Parameter(parameter.detach().clone())
    made.grad = parameter.grad.clone()
    return made


def _changes(parameters: Mapping[str, Any], update: Any) -> Arrays:
    before = {name: _array(each).copy() for name, each in parameters.items()}
    with random_numbers.seeded(SEEDS[0]):
        update()
    return {name: _array(each) - before[name] for name, each in parameters.items()}


def _array(tensor: Any) -> np.ndarray[Any, Any]:
    array: np.ndarray[Any, Any] = tensor.detach().cpu().numpy()
    return array


def _coupled(loss: TorchLoss, batch: StepInput, *, train: bool) -> bool:
    """Returns whether the loss of a row depends on the rows behind it."""

    def losses(inputs: np.ndarray[Any, Any], targets: list[np.ndarray[Any, Any]], seed: int) -> list[Any]:
        with random_numbers.seeded(seed), torch.no_grad():
            return [_array(each) for each in loss.losses(inputs, targets)]

    modes = {module: module.training for module in loss.module.modules()}
    if not train:
        loss.module.eval()
    try:
        return rows_are_coupled(losses, batch)
    finally:
        for module, mode in modes.items():
            module.training = mode
