"""Losses by name, and the training loss of a network: weighted sums over samples and objectives."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from hpcmtl.errors import InputError, Problem
from hpcmtl.jobfile.resolve import resolve
from hpcmtl.training.gluon.compat import import_mxnet

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hpcmtl.jobfile.network import Objective
    from hpcmtl.training.learner import StepInput

mx = import_mxnet()
HybridBlock: Any = mx.gluon.HybridBlock

_LOSSES = {
    "l2": mx.gluon.loss.L2Loss,
    "l1": mx.gluon.loss.L1Loss,
    "huber": mx.gluon.loss.HuberLoss,
    "softmax_ce": mx.gluon.loss.SoftmaxCrossEntropyLoss,
    "sigmoid_bce": mx.gluon.loss.SigmoidBinaryCrossEntropyLoss,
}


def make_loss(name: str) -> Any:
    """A Gluon loss block: (outputs, targets) -> one value a sample.

    Raises:
        InputError: if a user's loss cannot be imported or made, or is no Gluon loss.
    """
    make = _LOSSES[name] if name in _LOSSES else resolve(name)
    try:
        loss = make()
    except TypeError as error:
        raise InputError([Problem(name, f"cannot be made without arguments: {error}")]) from error
    if not isinstance(loss, mx.gluon.HybridBlock):
        raise InputError([Problem(name, f"makes a {type(loss).__name__}, not a Gluon loss (a HybridBlock)")])
    return loss


class TrainingLoss:
    """Runs the network and its losses forward and backward."""

    def __init__(self, block: Any, objectives: Sequence[Objective]) -> None:
        self._sums = _Sums(block, [make_loss(objective.loss) for objective in objectives])
        self._sums.hybridize(static_alloc=True)
        self._objective_weights = mx.nd.array([objective.weight for objective in objectives])

    def backward(self, batch: StepInput, scale: float) -> Any:
        """Leave the gradients of the weighted sum of all losses, times `scale`, in the parameters.

        Returns:
            An NDArray (objectives,): each objective's sum over the samples, times `scale`; not waited for.
        """
        weights = batch.weights * np.float32(scale)
        inputs = [_ndarray(array) for array in (batch.inputs, weights, *batch.targets)]
        with mx.autograd.record():
            sums = self._sums(*inputs)
        sums.backward(self._objective_weights)
        return sums


def _ndarray(array: np.ndarray[Any, Any]) -> Any:
    """A copy as NDArray.

    `mx.nd.array` takes four times as long, several times a step. `from_numpy` without a copy is as fast, but has a
    thread of MXNet's engine call back into Python to let go of the memory, at the end of the process as well.
    """
    made = mx.nd.empty(array.shape, dtype="float32")
    made._sync_copyfrom(np.ascontiguousarray(array, np.float32))  # noqa: SLF001 - see above
    return made


class _Sums(HybridBlock):
    """Weighted sum over the samples of each objective's loss."""

    def __init__(self, block: Any, losses: Sequence[Any]) -> None:
        super().__init__()
        self.block = block
        self.losses = mx.gluon.nn.HybridSequential()
        for loss in losses:
            self.losses.add(loss)

    def hybrid_forward(self, F: Any, x: Any, weights: Any, *targets: Any) -> Any:  # noqa: N803 - Gluon's form
        made = self.block(x)
        made = made if isinstance(made, list | tuple) else [made]
        sums = [
            F.sum(F.mean(F.reshape(loss(output, target), shape=(0, -1)), axis=1) * weights)
            for loss, output, target in zip(self.losses._children.values(), made, targets, strict=True)  # noqa: SLF001 - Gluon has no public way to iterate under trace
        ]
        return F.concat(*[F.reshape(value, shape=(1,)) for value in sums], dim=0)
