"""Comparison of one step with plain PyTorch: our gradients with its own, our update with that of torch.optim.

It shows a parameter that is updated twice or not at all, and a network that changes gradients behind our back.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from hpcmtl.training.array_difference import NOISE, largest_difference, largest_number
from hpcmtl.training.code_state import CodeState
from hpcmtl.training.coupled_rows import ROWS, SEEDS, rows_are_coupled
from hpcmtl.training.parameter_groups import (
    GroupedUpdater,
    optimizer_groups,
    unkept_by_updates,
    without_effect,
)
from hpcmtl.training.parameter_names import ties
from hpcmtl.training.step_comparison import BY_ITS_ROWS, StepComparison
from hpcmtl.training.step_input import StepInput
from hpcmtl.training.torch import random_numbers
from hpcmtl.training.torch.attributes import ModuleAttributes, is_kept_elsewhere, kept_buffers, restored
from hpcmtl.training.torch.compat import import_torch
from hpcmtl.training.torch.group_batchnorm import group_normalisations, plain
from hpcmtl.training.torch.losses import weighted_sum
from hpcmtl.training.torch.make_optimizer import make_optimizer
from hpcmtl.training.torch.modules import is_normalisation
from hpcmtl.training.torch.optimizer import TorchUpdater
from hpcmtl.training.torch.without_compiler import take_step
from hpcmtl.training.users_objects import state_of_optimizers

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from hpcmtl.arrays import Arrays
    from hpcmtl.jobfile.tasks import Optimizer
    from hpcmtl.training.torch.losses import TorchLoss
    from hpcmtl.training.traits import LearnerTraits

torch = import_torch()

_CLOSE, _GRADIENT_CLOSE = 1e-5, 1e-3
_GROUPED_NOISE = 1e-3
"""Noise where batch normalisation sums in another order than PyTorch's: the gradient of a bias before it is 0 but for
rounding, which the division by a small deviation magnifies."""
_SCALE = 2.0**-6
"""Factor on losses, as that of a batch; a power of two, which rounds nothing."""
_NOT_KEPT = "this is in no checkpoint or artifact: keep such values in buffers of the network (`register_buffer`)"


@dataclass(frozen=True)
class _Trial:
    """Holds a network that is tried, and what its passes were seen to change.

    Attributes:
        loss: network, in training mode, and losses.
        trained: trained parameters by name.
        attributes: attributes of its modules, as they were before the first pass.
        names: names of attributes that passes changed and no checkpoint has; grows.
    """

    loss: TorchLoss
    trained: Mapping[str, Any]
    attributes: ModuleAttributes
    names: set[str] = field(default_factory=set)

    @contextmanager
    def undone(self) -> Iterator[Mapping[str, Any]]:
        """Takes back what the passes of a block change, and repeats the random numbers; gives the tensors before it."""
        tensors = {**self.trained, **kept_buffers(self.loss.module)}
        try:
            with random_numbers.seeded(SEEDS[0]), restored(tensors) as before:
                yield before
        finally:
            self.names.update(self.attributes.restore())

    @property
    def comparable(self) -> TorchLoss:
        """The loss, in float32 where batch normalisation over a group would round otherwise than PyTorch's own."""
        return self.loss.with_precision("fp32") if group_normalisations(self.loss.module) else self.loss


@dataclass(frozen=True)
class _PlainPass:
    """Holds what a training pass of plain PyTorch gave.

    Attributes:
        gradients: dense gradient of each trained parameter.
        changed: names of parameters that the forward pass itself changed.
        draws: whether it drew random numbers.
    """

    gradients: Mapping[str, Any]
    changed: tuple[str, ...]
    draws: bool


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
    few, trial = _rows(batch, slice(ROWS)), _Trial(loss, trained, ModuleAttributes(loss.module, loss.functions))
    gradients = {name: parameter.grad for name, parameter in trained.items()}
    tied = ties(dict(loss.module.named_parameters(remove_duplicate=False)))
    with random_numbers.kept(), restored(gradients):
        plain_pass = _plain_pass(trial, few)
        update = _gradient_difference(trial, few, plain_pass.gradients)
        difference, notes = _optimizer_difference(trained, optimizer, rate, tied)
        update = update or difference
        if batch.ranks > 1 and (parted := _changed_by_rows(trial, few, plain_pass.changed)):
            update = BY_ITS_ROWS.format(", ".join(parted))
        coupled, sums = _of_rows(trial, batch, plain_pass, traits) if batch.ranks > 1 else (None, True)
    passes = [f"a pass changes {', '.join(sorted(trial.names))}: {_NOT_KEPT}"] if trial.names else []
    told = "; ".join([*passes, *notes])
    return StepComparison(update=update, coupled=coupled, draws=plain_pass.draws, sums=sums, attributes=told)


def _rows(batch: StepInput, rows: slice) -> StepInput:
    """Returns some rows of a batch."""
    weights, inputs = batch.weights[rows], batch.with_inputs(lambda each: each[rows])
    return StepInput(inputs, tuple(each[rows] for each in batch.targets), weights, len(weights))


def _plain_pass(trial: _Trial, batch: StepInput, scale: float = 1.0) -> _PlainPass:
    """Makes a training pass of plain PyTorch on the module itself: a copy would lose hooks on parameters."""
    ours = {name: parameter.grad for name, parameter in trial.trained.items()}
    for parameter in trial.trained.values():
        parameter.grad = None
    comparable = trial.comparable
    with trial.undone() as before, plain(trial.loss.module):
        marks = random_numbers.marks()
        losses = comparable.losses(batch.inputs, batch.targets)
        weighted_sum(losses, batch, [scale] * len(losses)).backward()
        draws = random_numbers.marks() != marks
        changed = tuple(name for name, each in trial.trained.items() if not torch.equal(each, before[name]))
    found = {}
    for name, parameter in trial.trained.items():  # ours are dense, and 0 where a pass does not come by
        missing = parameter.grad is None
        found[name] = torch.zeros_like(parameter) if missing else parameter.grad.detach().to_dense().clone()
        parameter.grad = ours[name]
    return _PlainPass(found, changed, draws)


def _changed_by_rows(trial: _Trial, batch: StepInput, changed: Sequence[str]) -> tuple[str, ...]:
    """Returns which of the parameters that a pass changes have other values after a pass over rows of ones.

    A bound on weights in the forward pass does the same on all ranks; that of the rows of an embedding does not.
    """
    after = []
    for inputs in (batch.inputs, batch.with_inputs(np.ones_like)) if changed else ():
        with trial.undone(), torch.no_grad():
            trial.loss.losses(inputs, batch.targets)
            after.append({name: trial.trained[name].detach().clone() for name in changed})
    return tuple(name for name in changed if not torch.equal(after[0][name], after[1][name]))


def _of_rows(trial: _Trial, batch: StepInput, plain_pass: _PlainPass, traits: LearnerTraits) -> tuple[bool, bool]:
    """Returns whether the loss of a row depends on others, and whether gradients are sums over the rows.

    Batch normalisation and random numbers make both differ; a note tells of these by themselves.
    """
    normalised = any(map(is_normalisation, trial.loss.module.modules()))
    as_in_training = not (plain_pass.draws or traits.batch_statistics or normalised)
    with trial.undone():
        coupled = _coupled(trial.loss, batch, train=as_in_training)
    if coupled or not as_in_training or trial.loss.precision != "fp32" or len(batch.weights) < 2:
        return coupled, True
    total = {name: torch.zeros_like(each) for name, each in plain_pass.gradients.items()}
    for rows in (slice(0, ROWS, 2), slice(1, ROWS, 2)):  # ranks scale their gradients as well
        for name, gradient in _plain_pass(trial, _rows(batch, rows), _SCALE).gradients.items():
            total[name] += gradient / _SCALE
    found, expected = ({name: _array(each) for name, each in of.items()} for of in (total, plain_pass.gradients))
    return coupled, not largest_difference(found, expected, _bounds(expected, NOISE))


def _gradient_difference(trial: _Trial, batch: StepInput, plain_gradients: Mapping[str, Any]) -> str:
    """Returns the largest difference of our gradients from those of plain PyTorch; an empty text for none."""
    for parameter in trial.trained.values():
        parameter.grad.zero_()
    with trial.undone():
        trial.comparable.backward(batch, [1.0] * trial.loss.count, 1.0)
    found = {f"the gradient of {name}": _array(each.grad) for name, each in trial.trained.items()}
    expected = {f"the gradient of {name}": _array(each) for name, each in plain_gradients.items()}
    noise = _GROUPED_NOISE if group_normalisations(trial.loss.module) else NOISE
    text = largest_difference(found, expected, _bounds(expected, noise))
    return f"a step is not that of plain PyTorch: {text}" if text else ""


def _bounds(expected: Arrays, noise: float) -> dict[str, float]:
    """Returns the largest difference from each gradient that is rounding."""
    least = noise * largest_number(expected.values())
    return {name: _GRADIENT_CLOSE * largest_number([each]) + least for name, each in expected.items()}


def _optimizer_difference(
    trained: Mapping[str, Any], optimizer: Optimizer, rate: float, tied: list[tuple[str, ...]]
) -> tuple[str, list[str]]:
    """Compares an update of ours with that of plain optimizers.

    Returns:
        The largest difference; an empty text for none. Notes on the update.
    """
    plain_trained, copies = ({name: _copy_of(each) for name, each in trained.items()} for _ in range(2))
    code = state_of_optimizers(optimizer)
    expected = _changes(plain_trained, lambda: _plain_update(plain_trained, optimizer, rate, tied))
    code.restore()
    updater = GroupedUpdater(copies, optimizer, TorchUpdater, tied)
    remembered = CodeState(updater.optimizers, is_kept_elsewhere)
    found = _changes(copies, lambda: updater.update(rate, 1.0))
    notes = unkept_by_updates(remembered.restore(), "in `state`, or as an attribute of the optimizer")
    notes += without_effect(expected, (_array(each.grad) for each in copies.values()), rate)
    code.restore()
    bounds = {
        name: _CLOSE * largest_number([change]) + NOISE * largest_number([_array(trained[name])])
        for name, change in expected.items()
    }
    text = largest_difference(found, expected, bounds)
    return f"an update by {optimizer.name} is not that of torch.optim: the change of {text}" if text else "", notes


def _plain_update(
    parameters: Mapping[str, Any], optimizer: Optimizer, rate: float, tied: list[tuple[str, ...]]
) -> None:
    for group in optimizer_groups(optimizer, parameters, tied):
        if group.names:
            own = group.optimizer.model_copy(update={"learning_rate": rate * group.factor})
            made = make_optimizer(own, [parameters[name] for name in group.names], fused=False)
            remembered = CodeState([made], is_kept_elsewhere)
            take_step(made)
            remembered.restore()


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

    def losses(inputs: Arrays, targets: list[np.ndarray[Any, Any]], seed: int) -> list[Any]:
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
