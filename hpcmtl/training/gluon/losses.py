"""Losses by name, and the training loss of a network: a weighted sum over samples and objectives."""

from __future__ import annotations

import copy
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from hpcmtl.errors import InputError, Problem, reason_of
from hpcmtl.jobfile.resolve import resolve
from hpcmtl.networks.input_values import FLOATS, INPUT
from hpcmtl.training.gluon.compat import import_mxnet
from hpcmtl.training.gluon.consistency import ConsistencyLosses
from hpcmtl.training.gluon.description import GLUON
from hpcmtl.training.gluon.graph import loss_draws
from hpcmtl.training.gluon.layout import filled
from hpcmtl.training.gluon.zoo import HybridBlock, outputs_of
from hpcmtl.training.network_inputs import taken
from hpcmtl.training.other_frameworks import told_as_foreign
from hpcmtl.training.pending_losses import loss_shares

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from hpcmtl.arrays import Arrays, Floats
    from hpcmtl.networks.consistency import Consistency
    from hpcmtl.networks.input_values import InputValues
    from hpcmtl.networks.objective import Objective
    from hpcmtl.training.objective_rows import ObjectiveWeights
    from hpcmtl.training.step_input import StepInput

mx = import_mxnet()
_FLOAT = np.dtype(np.float32)

_Loss: Any = mx.gluon.loss.Loss
_SigmoidLoss: Any = mx.gluon.loss.SigmoidBinaryCrossEntropyLoss
_LOSSES = {
    "l2": mx.gluon.loss.L2Loss,
    "l1": mx.gluon.loss.L1Loss,
    "huber": mx.gluon.loss.HuberLoss,
    "softmax_ce": mx.gluon.loss.SoftmaxCrossEntropyLoss,
    "sigmoid_bce": _SigmoidLoss,
}


class SmoothedSoftmaxCrossEntropy(_Loss):
    """Cross-entropy whose target has a share that all classes have alike, as PyTorch's ``label_smoothing``."""

    def __init__(self, smoothing: float) -> None:
        super().__init__(None, 0)
        self._smoothing = smoothing

    def hybrid_forward(self, F: Any, output: Any, target: Any) -> Any:  # noqa: N803 - Gluon's form
        """Returns the losses (n,) of outputs (n, classes) and class numbers (n,)."""
        chances = F.log_softmax(output, axis=-1)
        true = F.pick(chances, target, axis=-1)
        return -(1 - self._smoothing) * true - self._smoothing * F.mean(chances, axis=-1)


class SmoothedSigmoidCrossEntropy(_SigmoidLoss):
    """The same of labels, each of which is one of two classes: 1 becomes ``1 - smoothing / 2``."""

    def __init__(self, smoothing: float) -> None:
        super().__init__()
        self._smoothing = smoothing

    def hybrid_forward(self, F: Any, output: Any, target: Any) -> Any:  # noqa: N803 - Gluon's form
        """Returns the losses (n,) of outputs and targets (n, ...)."""
        return super().hybrid_forward(F, output, target * (1 - self._smoothing) + self._smoothing / 2)


_SMOOTHED = {"softmax_ce": SmoothedSoftmaxCrossEntropy, "sigmoid_bce": SmoothedSigmoidCrossEntropy}
_OF_CLASSES = (_LOSSES["softmax_ce"], SmoothedSoftmaxCrossEntropy)
_OF_SAMPLES = (*_LOSSES.values(), *_SMOOTHED.values())


def make_loss(name: str, smoothing: float = 0.0) -> Any:
    """Returns a Gluon loss block: a function of outputs and targets to one value a sample.

    Args:
        name: name of the loss.
        smoothing: label smoothing, for ``softmax_ce`` and ``sigmoid_bce``.

    Raises:
        InputError: a user's loss cannot be imported or made, is no Gluon loss, or has parameters that nothing would
            train.
    """
    if smoothing:
        return _SMOOTHED[name](smoothing)
    make = _LOSSES[name] if name in _LOSSES else resolve(name)
    try:
        loss = make()
    except (Exception, SystemExit) as error:
        text = f"cannot be made without arguments: {reason_of(error)}"
        raise InputError([Problem(f"loss {name}", text)]) from error
    if not isinstance(loss, mx.gluon.HybridBlock):
        told = told_as_foreign(loss, GLUON.name) or f"{type(loss).__name__}, not a Gluon loss (a HybridBlock)"
        raise InputError([Problem(f"loss {name}", f"makes a {told}")])
    own = loss.collect_params()
    trained = [key.removeprefix(loss.prefix) for key, each in own.items() if each.grad_req != "null"]
    if trained:
        text = f"has parameters ({', '.join(trained)}), which are no part of the network and would not be trained"
        remedy = "make them constants (`params.get_constant`), or move them into the network"
        raise InputError([Problem(f"loss {name}", f"{text}; {remedy}")])
    own.initialize()
    return loss


class TrainingLoss:
    """Runs forward and backward passes of a network and its losses.

    Attributes:
        block: the network.
        may_draw: whether a loss may draw random numbers.
        compiled: whether network and losses are compiled.
    """

    def __init__(
        self,
        block: Any,
        objectives: Sequence[Objective],
        added: Sequence[Any] = (),
        context: Any = None,
        values: Mapping[str, InputValues] | None = None,
        *,
        consistency: Sequence[Consistency] = (),
    ) -> None:
        """Makes the losses.

        Args:
            block: network.
            objectives: the objectives, in the order of its outputs.
            added: parameters to whose gradients a backward pass adds.
            context: context of the network; None for the host.
            values: values of the samples that it takes, by the names of its inputs in order; None for one of floats.
            consistency: consistency losses, whose values come after those of the objectives.
        """
        self._added, self._values = added, {INPUT: FLOATS} if values is None else values
        # Network and losses are two graphs: as one graph they ran 8 % slower on two cores.
        self.block = block
        on_host = context is None or context == mx.cpu()
        self._ndarray = filled if on_host else partial(mx.nd.array, ctx=context)
        losses = [make_loss(objective.loss, objective.label_smoothing) for objective in objectives]
        own = {each.name: make_loss(each.loss) for each in consistency if each.is_of_user}
        for loss in () if on_host else (*losses, *own.values()):
            loss.collect_params().reset_ctx(context)
        self._consistency = ConsistencyLosses(consistency, [each.name for each in objectives], own, context or mx.cpu())
        self.may_draw = any(map(loss_draws, (*losses, *own.values())))
        self._losses = _PerSample(losses, [objective.has_label_losses for objective in objectives])
        self._losses.hybridize(static_alloc=True)
        self.compiled = True

    @property
    def own_losses(self) -> list[Any]:
        """The losses, as blocks."""
        return [*self._losses._children.values(), *self._consistency.own]  # noqa: SLF001 - has no other name

    @property
    def count(self) -> int:
        """Returns the number of losses: one an objective, and the consistency losses."""
        return len(self._losses._children) + self._consistency.count  # noqa: SLF001 - as above

    def compile(self, *, active: bool) -> None:
        """Compiles network and losses at their next passes, or runs them from here on operation by operation."""
        self.compiled = active
        for each in (self.block, self._losses):
            each.hybridize(active, static_alloc=True)

    def of_network(self, network: Any) -> TrainingLoss:
        """Returns the same losses of another network, which has the same outputs."""
        made = copy.copy(self)
        made.block = network
        return made

    def clear(self) -> None:
        """Sets those gradients to 0 that backward passes add to."""
        for parameter in self._added:
            parameter.zero_grad()

    def backward(self, batch: StepInput, weights: ObjectiveWeights, scale: float, *, train: bool = True) -> list[Any]:
        """Computes the gradients of the weighted sum of all losses, times `scale`, into those of the parameters.

        Args:
            batch: this rank's share of the batch.
            weights: one weight an objective, or a function of their losses, see `Learner.forward_backward`.
            scale: factor on all losses.
            train: whether dropout and batch normalisation work as in training.

        Returns:
            For each loss an NDArray (n,), the loss of each sample, not weighted; (n, labels) for one of label losses.
            They are not waited for.
        """
        losses = self.forward(batch, train=train)
        chosen = weights(shares_of(losses, batch)) if callable(weights) else weights
        self.backward_from(losses, batch, [scale * weight for weight in chosen], train=train)
        return losses

    def forward(self, batch: StepInput, *, train: bool = True) -> list[Any]:
        """Runs a forward pass that `backward_from` can follow; returns losses for each objective."""
        with mx.autograd.record(train_mode=train):
            return self.losses(batch.inputs, batch.targets)

    def backward_from(
        self,
        losses: list[Any],
        batch: StepInput,
        factors: Sequence[float],
        *,
        train: bool = True,
        retain_graph: bool = False,
    ) -> None:
        """Computes the gradients of the sum of all losses times their factors.

        The weights of samples and objectives are the head gradients of the backward pass, and so cost no operation.

        Args:
            losses: losses of `forward`.
            batch: its batch.
            factors: factor on the losses of each objective.
            train: as in `forward`.
            retain_graph: whether another backward pass follows.
        """
        heads = [
            self._ndarray(batch.weights_of(number, loss.shape) * np.float32(factor), dtype=_FLOAT)
            for number, (loss, factor) in enumerate(zip(losses, factors, strict=True))
        ]
        mx.autograd.backward(losses, heads, retain_graph=retain_graph, train_mode=train)

    def losses(self, inputs: Arrays, targets: Sequence[np.ndarray[Any, Any]]) -> list[Any]:
        """Runs a forward pass, in the mode of autograd; returns losses for each objective, see `backward`.

        Raises:
            InputError: the network does not take such samples.
        """
        return self.losses_of(outputs_of(self.block, self.samples(inputs)), targets)

    def losses_of(self, made: Sequence[Any], targets: Sequence[np.ndarray[Any, Any]]) -> list[Any]:
        """Returns the losses of the outputs of a network."""
        given = [self._ndarray(target, dtype=_FLOAT) for target in targets]
        outputs = [_repeated(output, target) for output, target in zip(made, targets, strict=True)]
        return [*self._losses(given, outputs), *self._consistency.values(outputs)]

    def samples(self, inputs: Arrays) -> list[Any]:
        """Returns samples as NDArrays, int64 or float32, in the order of the network's inputs.

        Raises:
            InputError: the network does not take such samples.
        """
        return [self._ndarray(each, dtype=dtype) for _, each, dtype in taken(inputs, self._values)]


def shares_of(losses: Sequence[Any], batch: StepInput) -> Floats:
    """Returns this rank's shares of the mean losses of a batch, (objectives,); waits for the losses."""
    weights = [batch.weights_of(number, loss.shape) for number, loss in enumerate(losses)]
    return np.array(loss_shares([loss.asnumpy() for loss in losses], weights, batch.global_samples))


def _repeated(output: Any, target: np.ndarray[Any, Any]) -> Any:
    """Returns each row of outputs as often as it has targets."""
    times = len(target) // max(len(output), 1)
    return mx.nd.repeat(output, repeats=times, axis=0) if times > 1 else output


class _PerSample(HybridBlock):
    """Computes the loss of each sample, or of each label, for each objective."""

    def __init__(self, losses: Sequence[Any], of_labels: Sequence[bool]) -> None:
        super().__init__()
        self._of_labels = of_labels
        for loss in losses:
            self.register_child(loss)

    def hybrid_forward(self, F: Any, targets: Sequence[Any], outputs: Sequence[Any]) -> list[Any]:  # noqa: N803 - Gluon's form
        given = zip(self._of_labels, self._children.values(), outputs, targets, strict=True)
        return [
            _one_value_a_label(F, loss, output, target)
            if of_labels
            else _one_value_a_sample(F, loss, loss(output, target))
            for of_labels, loss, output, target in given
        ]


def _one_value_a_label(F: Any, loss: Any, output: Any, target: Any) -> Any:  # noqa: N803 - Gluon's form
    """Returns the losses (n, labels): Gluon's losses take means over all axes but the first, so each label is a row."""
    if isinstance(loss, _OF_CLASSES):
        values = loss(F.reshape(output, shape=(-1, 0), reverse=True), F.reshape(target, shape=(-1,)))
        return F.reshape(F.reshape_like(values, target), shape=(0, -1))
    values = loss(F.reshape(output, shape=(-1,)), F.reshape(target, shape=(-1,)))
    return F.reshape(F.reshape_like(values, output), shape=(0, -1))


def _one_value_a_sample(F: Any, loss: Any, values: Any) -> Any:  # noqa: N803 - Gluon's form
    if type(loss) in _OF_SAMPLES:
        return values
    return F.mean(F.reshape(values, shape=(0, -1)), axis=1)  # a user's loss may have more axes
