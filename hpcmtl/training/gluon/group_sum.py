"""Sum over the ranks of a group as an operator of MXNet's, forward and backward.

MXNet calls Python operators on threads of its own, and promises an order along data dependencies alone. So each sum
takes a number that the sum before it puts out: the order is that of the network's Python code on all ranks, also for
layers beside each other, and the gradients of these numbers make the reverse order in the backward pass. While a pass
is under way the rank's own thread does nothing but wait. The operator works on vectors, which oneDNN never lays out in
its own way: so it does not race (see `onednn`).
"""

from __future__ import annotations

import itertools
import weakref
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from hpcmtl.training.gluon.compat import import_mxnet
from hpcmtl.training.gluon.layout import overwrite, view
from hpcmtl.training.group_sum import GroupSum

if TYPE_CHECKING:
    from collections.abc import Iterator

mx = import_mxnet()
_CustomOp: Any = mx.operator.CustomOp
_CustomOpProp: Any = mx.operator.CustomOpProp

OPERATOR = "hpcmtl_group_sum"
"""Name under which MXNet knows it."""
_OVERWRITES = frozenset({"write", "inplace"})
_NOTHING = np.zeros(1, np.float32)
_NUMBERS = itertools.count()
_GROUPS: weakref.WeakValueDictionary[int, GluonGroupSum] = weakref.WeakValueDictionary()


class GluonGroupSum(GroupSum):
    """A `GroupSum` in a graph of MXNet's.

    Attributes:
        number: number of the object in this process, by which operators find it.
        layers: batch normalisations that use it.
        active: whether the pass that is under way, or is traced, is one over the group.
    """

    def __init__(self) -> None:
        super().__init__()
        self.number = next(_NUMBERS)
        self.layers: list[Any] = []
        self.active = False
        self._last: Any = None  # number that the newest sum puts out
        self._found: list[tuple[int, np.ndarray[Any, Any]]] = []  # layer and sum, in the order of the pass
        self._error: BaseException | None = None
        _GROUPS[self.number] = self

    @contextmanager
    def in_pass(self) -> Iterator[None]:
        """Lets the batch normalisations of a network that is called in the block use the group, in this order."""
        self.active, self._last = True, None
        try:
            yield
        finally:
            self.active, self._last = False, None

    def of(self, F: Any, vector: Any, like: Any, layer: int) -> Any:  # noqa: N803 - Gluon's form
        """Returns the sum of a vector over the group, which can be differentiated.

        Args:
            F: functions of arrays or symbols.
            vector: array or symbol (n,).
            like: array or symbol (n,) on the same device.
            layer: number of the batch normalisation.
        """
        last = F.zeros_like(F.slice_axis(like, axis=0, begin=0, end=1)) if self._last is None else self._last
        total, self._last = F.Custom(vector, last, op_type=OPERATOR, group=str(self.number), layer=str(layer))
        return total

    @contextmanager
    def under_way(self, *, filler: bool) -> Iterator[None]:
        """Runs a pass over the group in the block, alone: nothing else is under way before it, or behind it.

        The ranks begin together. A wait for all operations, which takes in those of other ranks where ranks are threads
        of one process, then never waits for a sum that waits for its own rank.

        Args:
            filler: whether the rows of this rank are no samples.

        Raises:
            BaseException: what a sum over the group raised in a thread of MXNet's.
        """
        mx.nd.waitall()  # for the collectives of the step before
        if self.total is not None:
            self.total(np.zeros(1, np.float32))
        self.counts = not filler
        self._found.clear()
        try:
            yield
        finally:
            try:
                mx.nd.waitall()
            finally:
                error, self._error = self._error, None
                if error is not None:
                    self._found.clear()
                    raise error

    def summed(self, vector: np.ndarray[Any, Any], layer: int) -> np.ndarray[Any, Any]:
        """Returns the sum over the group in a forward pass; is called by MXNet's threads.

        Args:
            vector: numbers of this rank.
            layer: number of the batch normalisation.
        """
        made = self._totalled(vector if self.counts else np.zeros_like(vector))
        self._found.append((layer, made.copy()))
        return made

    def gradient(self, vector: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        """Returns the gradient of what this rank gave to a sum, from its gradient of the sum; see `summed`."""
        made = self._totalled(vector)
        return made if self.counts else np.zeros_like(made)

    def _totalled(self, vector: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        made = np.array(vector)
        if self.total is not None and self._error is None:  # after an error no rank answers
            try:
                self.total(made)
            except BaseException as error:  # noqa: BLE001 - MXNet could not pass it on; `under_way` raises it
                self._error = error
        return made

    def update_statistics(self) -> None:
        """Updates the running statistics with those of the newest pass in `under_way`, as MXNet does.

        MXNet does it in the backward pass: where one array belongs to several layers, the last one comes first.
        """
        found, self._found = self._found, []
        for (layer, sums), (_, squares) in reversed(list(zip(found[::2], found[1::2], strict=True))):
            block, mean, variance = self.layers[layer], sums[1:] / sums[0], squares / sums[0]
            old = np.float32(block._kwargs["momentum"])  # noqa: SLF001 - has no other name
            for parameter, values in ((block.running_mean, mean), (block.running_var, variance)):
                array = parameter.data()
                overwrite(array, array.asnumpy() * old + values * (1 - old))


class _SumOverGroup(_CustomOp):
    """Sum over the group; its gradient is the sum of the gradients of all ranks."""

    def __init__(self, group: GluonGroupSum, layer: int) -> None:
        super().__init__()
        self._group, self._layer = group, layer

    def forward(self, is_train: bool, req: Any, in_data: Any, out_data: Any, aux: Any) -> None:  # noqa: ARG002 - MXNet's form
        self._write(req, out_data, self._group.summed(in_data[0].asnumpy(), self._layer))

    def backward(self, req: Any, out_grad: Any, in_data: Any, out_data: Any, in_grad: Any, aux: Any) -> None:  # noqa: ARG002, PLR0917 - MXNet's form
        self._write(req, in_grad, self._group.gradient(out_grad[0].asnumpy()))

    def _write(self, req: Any, arrays: Any, total: np.ndarray[Any, Any]) -> None:
        for kind, array, values in zip(req, arrays, (total, _NOTHING), strict=True):
            if kind in _OVERWRITES and array.context.device_type == "cpu":
                view(array)[...] = values  # `assign` takes three operations of the engine
            else:
                self.assign(array, kind, mx.nd.array(values, ctx=array.context))


@mx.operator.register(OPERATOR)
class _SumOverGroupProperties(_CustomOpProp):
    """Describes `_SumOverGroup` to MXNet: a vector and the number of the sum before, to the sum and its number.

    An error in the constructor would end the process. It gets attributes of scopes (`mx.AttrScope`, loops) as well.
    """

    def __init__(self, group: str, layer: str, **_of_scopes: str) -> None:
        super().__init__(need_top_grad=True)
        self._group, self._layer = int(group), int(layer)

    def list_arguments(self) -> list[str]:
        return ["vector", "before"]

    def list_outputs(self) -> list[str]:
        return ["total", "behind"]

    def infer_shape(self, in_shape: Any) -> tuple[Any, Any, Any]:
        return in_shape, in_shape, []

    def declare_backward_dependency(self, out_grad: Any, in_data: Any, out_data: Any) -> Any:  # noqa: ARG002 - MXNet's form
        return out_grad

    def create_operator(self, ctx: Any, in_shapes: Any, in_dtypes: Any) -> Any:  # noqa: ARG002 - MXNet's form
        return _SumOverGroup(_GROUPS[self._group], self._layer)
