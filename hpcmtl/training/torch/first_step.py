"""Comparison of one step with plain PyTorch: our gradients with its own, our update with that of torch.optim.

It shows a parameter that is updated twice or not at all, and a network that changes gradients behind our back.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hpcmtl.training.array_difference import NOISE, largest_difference, largest_number
from hpcmtl.training.coupled_rows import ROWS, SEEDS, rows_are_coupled
from hpcmtl.training.parameter_groups import GroupedUpdater, optimizer_groups
from hpcmtl.training.parameter_names import ties
from hpcmtl.training.step_comparison import StepComparison
from hpcmtl.training.step_input import StepInput
from hpcmtl.training.torch import random_numbers
from hpcmtl.training.torch.attributes import ModuleAttributes, restored
from hpcmtl.training.torch.compat import import_torch
from hpcmtl.training.torch.group_batchnorm import group_normalisations, plain
from hpcmtl.training.torch.losses import weighted_sum
from hpcmtl.training.torch.modules import is_normalisation
from hpcmtl.training.torch.optimizer import TorchUpdater, make_optimizer

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np

    from hpcmtl.arrays import Arrays
    from hpcmtl.jobfile.tasks import Optimizer
    from hpcmtl.training.torch.losses import TorchLoss
    from hpcmtl.training.traits import LearnerTraits

torch = import_torch()

_CLOSE, _GRADIENT_CLOSE = 1e-5, 1e-3
_GROUPED_NOISE = 1e-3
"""Noise where batch normalisation sums in another order than PyTorch's: the gradient of a bias before it is 0 but for
rounding, which the division by a small deviation magnifies."""
_BY_ITS_ROWS = (
    "itself, as `nn.Embedding(max_norm=...)` does, and each rank would change it by its own rows: `ranks: 1` keeps the "
    "task on one rank, or bound the values in the loss"
)
_NOT_KEPT = "this is in no checkpoint or artifact: keep such values in buffers (`register_buffer`)"


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
    modules = [loss.module, *loss.own_losses]
    buffers = [each for module in modules for each in module.buffers()]
    attributes = ModuleAttributes(modules)
    tensors = {**trained, **{str(number): each for number, each in enumerate(buffers)}}
    gradients = {name: parameter.grad for name, parameter in trained.items()}
    with random_numbers.kept(), restored(tensors), restored(gradients):
        expected, changed = _plain_gradients(loss, trained, few)
        names = set(attributes.restore())
        update = _gradient_difference(loss, trained, few, expected) or _optimizer_difference(
            trained, optimizer, rate, ties(dict(loss.module.named_parameters(remove_duplicate=False)))
        )
        if changed and batch.ranks > 1:
            update = f"a pass changes {', '.join(changed)} {_BY_ITS_ROWS}"
        normalised = any(map(is_normalisation, loss.module.modules()))
        as_in_training = not (traits.random_network or traits.batch_statistics or normalised)
        coupled = _coupled(loss, batch, train=as_in_training) if batch.ranks > 1 else None
        names.update(attributes.restore())
    told = f"a pass changes {', '.join(sorted(names))}: {_NOT_KEPT}" if names else ""
    return StepComparison(update=update, coupled=coupled, attributes=told)


def _plain_gradients(
    loss: TorchLoss, trained: Mapping[str, Any], batch: StepInput
) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Returns the gradients of a step of plain PyTorch on the same module, and the parameters that the pass changes.

    A copy would do as little as the module itself would, but for what a copy loses: hooks on parameters.
    """
    ours = {name: parameter.grad for name, parameter in trained.items()}
    for parameter in trained.values():
        parameter.grad = None
    tensors = {**trained, **dict(loss.module.named_buffers()), **_buffers_of_losses(loss)}
    comparable = _in_comparable_precision(loss)
    with random_numbers.seeded(SEEDS[0]), restored(tensors) as before, plain(loss.module):
        losses = comparable.losses(batch.inputs, batch.targets)
        weighted_sum(losses, batch, [1.0] * len(losses)).backward()
        changed = tuple(name for name, each in trained.items() if not torch.equal(each, before[name]))
    found = {}
    for name, parameter in trained.items():  # ours are dense, and 0 where a pass does not come by
        missing = parameter.grad is None
        found[name] = torch.zeros_like(parameter) if missing else parameter.grad.detach().to_dense().clone()
        parameter.grad = ours[name]
    return found, changed


def _gradient_difference(
    loss: TorchLoss, trained: Mapping[str, Any], batch: StepInput, plain_gradients: Mapping[str, Any]
) -> str:
    """Returns the largest difference of our gradients from those of plain PyTorch; an empty text for none."""
    with random_numbers.seeded(SEEDS[0]):
        for parameter in trained.values():
            parameter.grad.zero_()
        _in_comparable_precision(loss).backward(batch, [1.0] * len(batch.targets), 1.0)
    found = {f"the gradient of {name}": _array(each.grad) for name, each in trained.items()}
    expected = {f"the gradient of {name}": _array(each) for name, each in plain_gradients.items()}
    noise = largest_number(expected.values()) * (_GROUPED_NOISE if group_normalisations(loss.module) else NOISE)
    bounds = {name: _GRADIENT_CLOSE * largest_number([each]) + noise for name, each in expected.items()}
    text = largest_difference(found, expected, bounds)
    return f"a step is not that of plain PyTorch: {text}" if text else ""


def _in_comparable_precision(loss: TorchLoss) -> TorchLoss:
    """Returns a loss in float32 where batch normalisation over a group would round otherwise than PyTorch's own."""
    return loss.with_precision("fp32") if group_normalisations(loss.module) else loss


def _buffers_of_losses(loss: TorchLoss) -> dict[str, Any]:
    return {f"loss {n} {name}": each for n, own in enumerate(loss.own_losses) for name, each in own.named_buffers()}


def _optimizer_difference(
    trained: Mapping[str, Any], optimizer: Optimizer, rate: float, tied: list[tuple[str, ...]]
) -> str:
    """Returns the largest difference of an update of ours from that of plain optimizers; an empty text for none."""
    plain_trained, copies = ({name: _copy_of(each) for name, each in trained.items()} for _ in range(2))
    expected = _changes(plain_trained, lambda: _plain_update(plain_trained, optimizer, rate, tied))
    found = _changes(copies, lambda: GroupedUpdater(copies, optimizer, TorchUpdater, tied).update(rate, 1.0))
    bounds = {
        name: _CLOSE * largest_number([change]) + NOISE * largest_number([_array(trained[name])])
        for name, change in expected.items()
    }
    text = largest_difference(found, expected, bounds)
    return f"an update by {optimizer.name} is not that of torch.optim: the change of {text}" if text else ""


def _plain_update(
    parameters: Mapping[str, Any], optimizer: Optimizer, rate: float, tied: list[tuple[str, ...]]
) -> None:
    for group in optimizer_groups(optimizer, parameters, tied):
        if group.names:
            own = group.optimizer.model_copy(update={"learning_rate": rate * group.factor})
            make_optimizer(own, [parameters[name] for name in group.names], fused=False).step()


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
