"""Losses by name, and the training loss of a network: a weighted sum over samples and objectives."""

from __future__ import annotations

import copy
import inspect
from functools import partial
from types import BuiltinFunctionType, FunctionType
from typing import TYPE_CHECKING, Any

import numpy as np

from hpcmtl.errors import InputError, Problem, reason_of
from hpcmtl.jobfile.resolve import resolve
from hpcmtl.networks.input_values import FLOATS, INPUT
from hpcmtl.training.pending_losses import loss_shares
from hpcmtl.training.torch.compat import import_torch
from hpcmtl.training.torch.consistency import make_distance, of_outputs
from hpcmtl.training.torch.network import array_of
from hpcmtl.training.torch.place import CPU
from hpcmtl.training.torch.samples import samples_of
from hpcmtl.training.torch.zoo import outputs_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from hpcmtl.arrays import Arrays, Floats
    from hpcmtl.jobfile.fields import Precision
    from hpcmtl.networks.consistency import Consistency
    from hpcmtl.networks.input_values import InputValues
    from hpcmtl.networks.objective import Objective
    from hpcmtl.training.objective_rows import ObjectiveWeights
    from hpcmtl.training.step_input import StepInput

torch = import_torch()
F = torch.nn.functional

_REDUCTION = "reduction"
_TYPES = {"bf16": torch.bfloat16, "fp16": torch.float16}


def _like(target: Any, output: Any) -> Any:
    return target.to(output.dtype).reshape(output.shape)


def _l2(output: Any, target: Any) -> Any:
    return F.mse_loss(output, _like(target, output), reduction="none") / 2


def _l1(output: Any, target: Any) -> Any:
    return F.l1_loss(output, _like(target, output), reduction="none")


def _huber(output: Any, target: Any) -> Any:
    return F.huber_loss(output, _like(target, output), reduction="none")


def _softmax_ce(output: Any, target: Any, smoothing: float = 0.0) -> Any:
    if output.ndim == 2 and target.ndim == 1:  # each view would be one more operation in both passes
        return F.cross_entropy(output, target.long(), reduction="none", label_smoothing=smoothing)
    rows, classes = output.reshape(-1, output.shape[-1]), target.long().reshape(-1)
    return F.cross_entropy(rows, classes, reduction="none", label_smoothing=smoothing).reshape(output.shape[:-1])


def _sigmoid_bce(output: Any, target: Any, smoothing: float = 0.0) -> Any:
    """A label is one of two classes, so that smoothing makes 1 to ``1 - smoothing / 2``."""
    wanted = _like(target, output)
    wanted = wanted * (1 - smoothing) + smoothing / 2 if smoothing else wanted
    return F.binary_cross_entropy_with_logits(output, wanted, reduction="none")


_LOSSES: dict[str, Callable[..., Any]] = {
    "l2": _l2,
    "l1": _l1,
    "huber": _huber,
    "softmax_ce": _softmax_ce,
    "sigmoid_bce": _sigmoid_bce,
}
"""Losses with the values of Gluon's: `l2` is half the squared error, and classes are on the last axis."""


def make_loss(name: str, smoothing: float = 0.0) -> Callable[[Any, Any], Any]:
    """Returns a function of outputs and targets to values of each sample, (n, ...).

    A loss of the user's is a subclass of `torch.nn.Module`, an object of one, or a function. One that has a `reduction`
    gets ``none``.

    Args:
        name: name of the loss.
        smoothing: label smoothing, for ``softmax_ce`` and ``sigmoid_bce``.

    Raises:
        InputError: a user's loss cannot be imported or made, or has parameters that nothing would train.
    """
    if name in _LOSSES:
        return partial(_LOSSES[name], smoothing=smoothing) if smoothing else _LOSSES[name]
    where, found = f"loss {name}", resolve(name)
    try:
        made = _unreduced(found, where)
    except InputError:
        raise
    except (Exception, SystemExit) as error:
        text = f"cannot be made without arguments: {reason_of(error)}"
        raise InputError([Problem(where, text)]) from error
    if not callable(made):
        raise InputError([Problem(where, f"is a {type(made).__name__}, neither a torch.nn.Module nor a function")])
    if isinstance(made, torch.nn.Module) and any(each.requires_grad for each in made.parameters()):
        text = "has parameters, which are no part of the network and would not be trained"
        raise InputError([Problem(where, f"{text}; make them buffers, or move them into the network")])
    function: Callable[[Any, Any], Any] = made
    return function


def _unreduced(found: Any, where: str) -> Any:
    """Makes a loss of what a job names, without the reduction over the samples if it has one.

    Raises:
        InputError: its reduction is another one than the mean.
    """
    if isinstance(found, type):
        takes = _REDUCTION in inspect.signature(found).parameters
        return found(**{_REDUCTION: "none"}) if takes else _unreduced(found(), where)
    if isinstance(found, torch.nn.Module):
        if getattr(found, _REDUCTION, None) in {"sum", "batchmean"}:
            text = f"its reduction is {found.reduction!r}; hpcmtl takes means over samples: leave it out"
            raise InputError([Problem(where, text)])
        if hasattr(found, _REDUCTION):
            found.reduction = "none"
        return found
    if callable(found) and _REDUCTION in inspect.signature(found).parameters:
        return partial(found, **{_REDUCTION: "none"})
    return found


def is_of_user(loss: Any) -> bool:
    """Returns whether the code of a loss or module is a user's: an object of PyTorch's in a user's file is not."""
    called = loss.func if isinstance(loss, partial) else loss
    code = called if isinstance(called, FunctionType | BuiltinFunctionType) else type(called)
    return not str(code.__module__).startswith(("torch.", "hpcmtl."))


class TorchLoss:
    """Runs forward and backward passes of a network and its losses.

    Attributes:
        module: the network.
        objectives: the objectives, in the order of its outputs.
        functions: loss of each objective, and then of each consistency loss.
        consistency: consistency losses, whose values come after those of the objectives.
        precision: type that the network computes in.
        place: device of the network.
        values: values of the samples that it takes, by the names of its inputs.
    """

    def __init__(
        self,
        module: Any,
        objectives: Sequence[Objective],
        precision: Precision = "fp32",
        place: Any = CPU,
        values: Mapping[str, InputValues] | None = None,
        *,
        consistency: Sequence[Consistency] = (),
    ) -> None:
        self.precision, self.place = precision, place
        self.values = {INPUT: FLOATS} if values is None else values
        self.module, self.objectives, self.consistency = module, tuple(objectives), tuple(consistency)
        self.functions = [make_loss(objective.loss, objective.label_smoothing) for objective in objectives]
        own = [make_loss(each.loss) if each.is_of_user else None for each in consistency]
        self.functions += [make_distance(*pair, place) for pair in zip(consistency, own, strict=True)]
        for own in self.own_losses:
            own.to(place)  # its buffers

    @property
    def may_draw(self) -> bool:
        """Returns whether a loss may draw random numbers: one of the user's code may, none of PyTorch's does."""
        names = [each.loss for each in self.objectives] + [each.loss for each in self.consistency]
        return any(":" in name and is_of_user(made) for name, made in zip(names, self.functions, strict=True))

    @property
    def count(self) -> int:
        """Returns the number of losses: one an objective, and the consistency losses."""
        return len(self.functions)

    @property
    def own_losses(self) -> list[Any]:
        """The losses that are modules."""
        return [each for each in self.functions if isinstance(each, torch.nn.Module)]

    def with_precision(self, precision: Precision) -> TorchLoss:
        """Returns the same losses of the same network, computed in a precision."""
        made = copy.copy(self)
        made.precision = precision
        return made

    def backward(self, batch: StepInput, weights: ObjectiveWeights, scale: float) -> list[Any]:
        """Adds the gradients of the weighted sum of all losses, times `scale`, to those of the parameters.

        Args:
            batch: this rank's share of the batch.
            weights: one weight an objective, or a function of their losses, see `Learner.forward_backward`.
            scale: factor on all losses.

        Returns:
            For each loss a tensor (n,), the loss of each sample, not weighted; (n, labels) for one of label losses.
        """
        losses = self.losses(batch.inputs, batch.targets)
        chosen = weights(shares_of(losses, batch)) if callable(weights) else weights
        total = weighted_sum(losses, batch, [scale * weight for weight in chosen])
        if total.requires_grad:
            total.backward()
        return [loss.detach() for loss in losses]

    def losses(self, inputs: Arrays, targets: Sequence[np.ndarray[Any, Any]]) -> list[Any]:
        """Runs a forward pass; returns a tensor (n,) for each loss, (n, labels) for one of label losses.

        Raises:
            InputError: a user's loss does not give a value for each sample, or the network does not take such samples.
        """
        samples = samples_of(inputs, self.values, self.place)
        if self.precision == "fp32":
            outputs = outputs_of(self.module, samples)
        else:  # losses are computed from float32, as overflow and cancellation are theirs first
            with torch.autocast(self.place.type, _TYPES[self.precision]):
                outputs = [output.float() for output in outputs_of(self.module, samples)]
        given = [_repeated(output, target) for output, target in zip(outputs, targets, strict=True)]
        named = zip(self.objectives, self.functions[: len(given)], given, targets, strict=True)
        found = [
            _values(objective, function(output, tensor_of(target, self.place)), len(target))
            for objective, function, output, target in named
        ]
        by_head = {objective.name: output for objective, output in zip(self.objectives, given, strict=True)}
        for each, distance in zip(self.consistency, self.functions[len(given) :], strict=True):
            found.append(_one_value_a_sample(each.loss, of_outputs(each, distance, by_head), len(targets[0])))
        return found


def tensor_of(array: np.ndarray[Any, Any], place: Any = CPU) -> Any:
    """Returns a copy of targets as a tensor: integers and truth values as int64, other numbers as float32."""
    dtype = np.int64 if array.dtype.kind in "iub" else np.float32
    return torch.from_numpy(array.astype(dtype)).to(place)  # a copy by numpy takes a third of one by PyTorch


def _repeated(output: Any, target: np.ndarray[Any, Any]) -> Any:
    """Returns each row of outputs as often as it has targets."""
    times = len(target) // max(len(output), 1)
    return output.repeat_interleave(times, dim=0) if times > 1 else output


def weighted_sum(losses: Sequence[Any], batch: StepInput, factors: Sequence[float]) -> Any:
    """Returns the sum over objectives and samples of ``factor * weight of the loss * loss``."""
    parts = [
        weighted(loss, batch, number, factor) for number, (loss, factor) in enumerate(zip(losses, factors, strict=True))
    ]
    return torch.stack(parts).sum() if len(parts) > 1 else parts[0]


def shares_of(losses: Sequence[Any], batch: StepInput) -> Floats:
    """Returns this rank's shares of the mean losses of a batch, (objectives,)."""
    weights = [batch.weights_of(number, tuple(loss.shape)) for number, loss in enumerate(losses)]
    return np.array(loss_shares(map(array_of, losses), weights, batch.global_samples))


def weighted(loss: Any, batch: StepInput, objective: int, factor: float) -> Any:
    """Returns the weighted sum of the losses of one objective, times a factor."""
    weights = np.multiply(batch.weights_of(objective, tuple(loss.shape)), factor, dtype=np.float32)
    values = loss if loss.ndim == 1 else loss.reshape(-1)
    return torch.dot(values, torch.from_numpy(weights).reshape(-1).to(loss.device))


def _values(objective: Objective, values: Any, rows: int) -> Any:
    """Returns the losses (n,) of the samples, or (n, labels) of labels some of which may be missing."""
    return values.reshape(rows, -1) if objective.has_label_losses else _one_value_a_sample(objective.loss, values, rows)


def _one_value_a_sample(name: str, values: Any, rows: int) -> Any:
    if not isinstance(values, torch.Tensor) or values.ndim == 0 or len(values) != rows:
        shape = f"values of shape {tuple(values.shape)}" if isinstance(values, torch.Tensor) else repr(values)
        text = f"gives {shape} for {rows} samples; hpcmtl weights each sample and sums over the ranks itself"
        remedy = "return one value a sample, or take a `reduction` and obey `none`"
        raise InputError([Problem(f"loss {name}", f"{text}: {remedy}")])
    return values if values.ndim == 1 else values.reshape(rows, -1).mean(dim=1)
