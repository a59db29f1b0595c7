"""Inner products of the gradients of objectives, without those of large dense layers; see `dense_products`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hpcmtl.training.dense_products import pays, rows_of_products
from hpcmtl.training.objective_rows import gramian_of
from hpcmtl.training.torch.compat import import_torch
from hpcmtl.training.torch.dense_layers import dense_layers
from hpcmtl.training.torch.losses import weighted

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from hpcmtl.training.step_input import StepInput
    from hpcmtl.training.torch.gradient_rows import GradientRows

torch = import_torch()


class DenseProducts:
    """Gradients of objectives in the graph of one forward pass; see `ObjectiveProducts`.

    Attributes:
        gramian: (objectives, objectives) float64 inner products.
    """

    def __init__(
        self,
        losses: Sequence[Any],
        batch: StepInput,
        factors: Sequence[float],
        rows: GradientRows,
        sums: Mapping[str, Any],
    ) -> None:
        """Runs the backward passes; adds to the gradients of the parameters that one objective alone depends on.

        Args:
            losses: losses of all objectives.
            batch: their batch.
            factors: factor on the losses of each objective.
            rows: parameters that the objectives share and do not share.
            sums: gradients of the parameters by name, to be written.
        """
        totals = [weighted(each, batch, number, factors[number]) for number, each in enumerate(losses)]
        self._sums, shared = sums, rows.shared_parameters
        self._layers = dense_layers(totals, {parameter: name for name, parameter in shared.items()})
        covered = {name for each in self._layers for name in (each.weight, each.offset)}
        self._rest = {name: parameter for name, parameter in shared.items() if name not in covered}
        self._outputs: list[list[Any]] = [[] for _ in self._layers]  # of each layer, the D of each objective
        self._rows = torch.zeros(len(totals), sum(parameter.numel() for parameter in self._rest.values()))
        for number, total in enumerate(totals):
            self._backward(number, total, rows.private_parameters(number), retain_graph=number + 1 < len(totals))
        self._stacked = [torch.stack(each) for each in self._outputs]
        self.gramian = gramian_of(self._rows.numpy())
        for layer, each in zip(self._layers, self._stacked, strict=True):
            of_layer = rows_of_products(layer.inputs.numpy(), each.numpy(), offset=layer.offset is not None)
            self.gramian += gramian_of(of_layer)

    def _backward(self, number: int, total: Any, own: Sequence[Any], *, retain_graph: bool) -> None:
        """Runs the backward pass of an objective."""
        wanted = [*(layer.edge for layer in self._layers), *self._rest.values(), *own]
        found: Sequence[Any] = [None] * len(wanted)
        if total.requires_grad:
            found = torch.autograd.grad(total, wanted, retain_graph=retain_graph, allow_unused=True)
        layers, rest = len(self._layers), len(self._layers) + len(self._rest)
        for layer, made, each in zip(self._layers, self._outputs, found[:layers], strict=True):
            width = self._sums[layer.weight].shape[0]
            made.append(layer.inputs.new_zeros(len(layer.inputs), width) if each is None else each)
        pieces = self._rows[number].split([parameter.numel() for parameter in self._rest.values()])
        pairs = [(p, each.reshape(-1)) for p, each in zip(pieces, found[layers:rest], strict=True) if each is not None]
        pairs += [(p.grad, each) for p, each in zip(own, found[rest:], strict=True) if each is not None]
        if pairs:
            torch._foreach_add_(*map(list, zip(*pairs, strict=True)))

    def combine(self, weights: Sequence[float]) -> None:
        """See `ObjectiveProducts`."""
        factors = torch.tensor(weights, dtype=torch.float32)
        for layer, each in zip(self._layers, self._stacked, strict=True):
            total = (factors @ each.view(len(factors), -1)).view(each.shape[1:])
            torch.mm(total.t(), layer.inputs, out=self._sums[layer.weight])
            if layer.offset is not None:
                torch.sum(total, 0, out=self._sums[layer.offset])
        start, values = 0, factors @ self._rows
        for name, parameter in self._rest.items():
            self._sums[name].copy_(values[start : start + parameter.numel()].view(parameter.shape))
            start += parameter.numel()


def may_pay(rows: GradientRows, count: int) -> bool:
    """Returns whether some of the shared parameters may be weights of dense layers that pay for a number of rows."""
    return any(pays(tuple(parameter.shape), count) for parameter in rows.shared_parameters.values())
