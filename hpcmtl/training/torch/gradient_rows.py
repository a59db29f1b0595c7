"""Gradients of each objective by itself: one forward pass, and a backward pass for each objective."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hpcmtl.training.micro_batches import portions_of
from hpcmtl.training.objective_rows import shared_names
from hpcmtl.training.torch.compat import import_torch
from hpcmtl.training.torch.losses import weighted

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    import numpy as np

    from hpcmtl.arrays import Floats
    from hpcmtl.training.step_input import StepInput
    from hpcmtl.training.torch.losses import TorchLoss

torch = import_torch()


class GradientRows:
    """Rows of gradients by the shared parameters, one an objective.

    Attributes:
        shared: names of the parameters that at least two objectives depend on.
        shared_parameters: these parameters by name.
        private: names of the others.
    """

    def __init__(self, trained: Mapping[str, Any], reached: Sequence[frozenset[str]]) -> None:
        """Takes the trained parameters by name, and for each objective the names of those that it depends on."""
        self.shared = shared_names(trained, reached)
        self.private = tuple(name for name in trained if name not in self.shared)
        self.shared_parameters = {name: trained[name] for name in self.shared}
        self._shared = list(self.shared_parameters.values())
        self._private = [[trained[name] for name in self.private if name in names] for names in reached]
        self._sizes = [parameter.numel() for parameter in self._shared]

    @property
    def last_layer(self) -> list[Any]:
        """The shared parameters of the last layer that has some, in the order of the network."""
        layers = [name.rpartition(".")[0] for name in self.shared]
        return [each for layer, each in zip(layers, self._shared, strict=True) if layer == layers[-1]]

    def multiply_private(self, factors: Sequence[float]) -> None:
        """Multiplies the gradients of the parameters of each objective alone by a factor."""
        for own, factor in zip(self._private, factors, strict=True):
            if own:
                torch._foreach_mul_([parameter.grad for parameter in own], factor)

    def private_parameters(self, objective: int) -> Sequence[Any]:
        """Returns the parameters that one objective alone depends on."""
        return self._private[objective]

    def pieces_of(self, rows: np.ndarray[Any, Any], *, add: bool) -> RowPieces:
        """Returns the pieces of rows that are the gradients of parameters, in their shapes.

        Args:
            rows: (objectives, width) float32.
            add: whether the rows have sums of other parts already.
        """
        pieces = [
            [
                piece.view(parameter.shape)
                for piece, parameter in zip(row[: sum(self._sizes)].split(self._sizes), self._shared, strict=True)
            ]
            for row in torch.from_numpy(rows)
        ]
        return RowPieces(pieces, add=add)

    def backward(
        self,
        loss: TorchLoss,
        batch: StepInput,
        factors: Sequence[float],
        target: RowPieces,
        portions: Floats | None = None,
    ) -> Iterator[list[Any]]:
        """Runs a forward pass, and yields the losses of all objectives after the backward pass of each row.

        A pass overwrites its row, or adds to it, and adds to the gradients of the parameters that its objective alone
        depends on.

        Args:
            loss: network and losses.
            batch: this rank's share of the batch, or a part of it.
            factors: factor on the losses of each objective.
            target: the rows.
            portions: see `Learner.backward_each`.
        """
        losses = loss.losses(batch.inputs, batch.targets)
        shares = portions_of(batch, portions)
        for row in range(len(losses) * len(shares)):
            number, share = divmod(row, len(shares))
            total, own = weighted(losses[number], shares[share], number, factors[number]), self._private[number]
            wanted, last = [*self._shared, *own], row + 1 == len(losses) * len(shares)
            # Of an objective all of whose parameters are frozen nothing is wanted, and its loss may have no graph.
            found = torch.autograd.grad(total, wanted, retain_graph=not last, materialize_grads=True) if wanted else ()
            if self._shared:
                target.take(row, found[: len(self._shared)])
            if own:
                torch._foreach_add_([parameter.grad for parameter in own], list(found[len(self._shared) :]))
            yield losses


@dataclass(frozen=True)
class RowPieces:
    """Rows of gradients of objectives, cut at the parameters.

    Attributes:
        pieces: for each row a tensor for each parameter.
        add: whether gradients are added to what is there.
    """

    pieces: Sequence[Sequence[Any]]
    add: bool

    def take(self, row: int, gradients: Sequence[Any]) -> None:
        """Copies or adds the gradients of a row."""
        (torch._foreach_add_ if self.add else torch._foreach_copy_)(list(self.pieces[row]), list(gradients))
