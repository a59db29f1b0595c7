"""Inner products of the gradients of objectives, without those of large dense layers; see `dense_products`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from hpcmtl.training.dense_products import pays, rows_of_products
from hpcmtl.training.gluon.compat import import_mxnet
from hpcmtl.training.gluon.dense_taps import TappedNetwork, tapped_network
from hpcmtl.training.gluon.layout import view
from hpcmtl.training.gluon.objective_gradients import kept
from hpcmtl.training.objective_rows import gramian_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from hpcmtl.networks.input_values import InputValues
    from hpcmtl.training.gluon.losses import TrainingLoss
    from hpcmtl.training.step_input import StepInput

mx = import_mxnet()


class ProductPasses:
    """Runs one backward pass through all heads of a network, and one through its trunk for each objective."""

    def __init__(
        self,
        loss: TrainingLoss,
        values: Mapping[str, InputValues],
        shared: Sequence[Any],
        changed: Sequence[Any],
    ) -> None:
        """Takes a network with its losses.

        Args:
            loss: network and losses.
            values: values that the network takes, by the names of its inputs in order.
            shared: parameters that objectives share.
            changed: NDArrays that each backward pass changes, such as running statistics.
        """
        self._loss, self._values, self._changed = loss, values, changed
        self._shared = shared
        self._made: dict[tuple[str, ...], TappedNetwork | None] = {}

    def run(self, batch: StepInput, factors: Sequence[float]) -> tuple[list[Any], TappedProducts] | None:
        """Runs the passes.

        Args:
            batch: this rank's share of the batch, which is the whole batch.
            factors: factor on the losses of each objective.

        Returns:
            The losses of all objectives and the products; None, without a pass, where the network is not in two parts.
        """
        network = self._tapped(batch.rows)
        if network is None or network.count != len(factors):  # there are losses of several heads together
            return None
        loss = self._loss.of_network(network)
        losses = loss.forward(batch)
        covered = {name for each in network.dense for name in (each.weight, each.offset)}
        rest = [each for each in self._shared if each.name not in covered]
        wanted = [*network.taps, *(each.data() for each in rest)]
        loss.backward_from(losses, batch, factors)
        before, found = list[Any](), []
        for number, slope in enumerate(network.slopes):
            kept(self._changed, before)
            retain_graph = number + 1 < len(factors)
            found.append(mx.autograd.grad([network.code], wanted, [slope], retain_graph=retain_graph))
        mx.nd.waitall()
        values = [[view(array) for array in each] for each in found]
        return losses, TappedProducts(network, values, rest, {each.name: each for each in self._shared})

    def _tapped(self, rows: int) -> TappedNetwork | None:
        """Returns the network with taps at the layers that pay for a number of rows; None if it has no trunk."""
        names = tuple(each.name for each in self._shared if pays(each.shape, rows))
        if names not in self._made:
            offsets = {each.name for each in self._shared if len(each.shape) == 1}
            self._made[names] = tapped_network(self._loss.block, self._values, offsets.union(names))
        return self._made[names]


class TappedProducts:
    """Gradients of objectives of one forward pass; see `ObjectiveProducts`.

    Attributes:
        gramian: (objectives, objectives) float64 inner products.
    """

    def __init__(
        self, network: TappedNetwork, values: Sequence[Sequence[Any]], rest: Sequence[Any], shared: dict[str, Any]
    ) -> None:
        """Takes gradients that are there.

        Args:
            network: the network with taps, after the passes.
            values: for each objective the gradients of the taps, and of `rest`.
            rest: the shared parameters but those of the dense layers.
            shared: the shared parameters by MXNet's names.
        """
        self._network, self._rest, self._shared = network, rest, shared
        taps = len(network.taps)
        self._inputs = [view(each).reshape(len(each), -1) for each in network.inputs]
        self._outputs = [np.stack([each[number] for each in values]) for number in range(taps)]
        flat = [[array.ravel() for array in each[taps : taps + len(rest)]] for each in values]
        self._rows = (
            np.array([np.concatenate(each) for each in flat]) if rest else np.zeros((len(values), 0), np.float32)
        )
        self.gramian = gramian_of(self._rows)
        for node, inputs, outputs in zip(network.dense, self._inputs, self._outputs, strict=True):
            self.gramian += gramian_of(rows_of_products(inputs, outputs, offset=node.offset is not None))

    def combine(self, weights: Sequence[float]) -> None:
        """See `ObjectiveProducts`."""
        factors = np.array(weights, np.float32)
        sizes = [view(each.grad()).size for each in self._rest]
        _write(np.split(factors @ self._rows, np.cumsum(sizes)[:-1]), self._rest)
        for node, inputs, outputs in zip(self._network.dense, self._inputs, self._outputs, strict=True):
            total = np.tensordot(factors, outputs, 1)
            np.matmul(total.T, inputs, out=view(self._shared[node.weight].grad()))
            if node.offset is not None:
                _write([total.sum(axis=0)], [self._shared[node.offset]])


def _write(values: Iterable[Any], parameters: Sequence[Any]) -> None:
    """Overwrites the gradients of parameters, on which no operation is under way."""
    for parameter, value in zip(parameters, values, strict=False):
        array = view(parameter.grad())
        array[...] = value.reshape(array.shape)
