"""Gradients of all trained parameters in one buffer: one clear a step, and one message over the group."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hpcmtl.errors import TaskFailedError
from hpcmtl.training.torch.compat import import_torch

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import numpy as np

torch = import_torch()


class FlatGradients:
    """Buffer whose consecutive pieces are the `grad` of parameters.

    A backward pass adds to the piece of a parameter, so that the buffer is cleared before. A collective of numpy views
    finds the pieces side by side in memory, and reduces them without a copy.

    Attributes:
        buffer: all gradients, (numbers,) float32.
        by_name: the piece of each parameter, in its shape.
    """

    def __init__(self, parameters: Mapping[str, Any]) -> None:
        sizes = [parameter.numel() for parameter in parameters.values()]
        self.buffer = torch.zeros(sum(sizes), device=next(iter(parameters.values())).device)
        pieces = self.buffer.split(sizes)
        self.by_name = {
            name: piece.view(parameter.shape)
            for (name, parameter), piece in zip(parameters.items(), pieces, strict=True)
        }
        self._parameters = dict(parameters)
        self.clear()

    def pieces_of(self, values: np.ndarray[Any, Any]) -> Iterator[tuple[str, np.ndarray[Any, Any]]]:
        """Yields the piece of each parameter, in its shape, of an array with the values of the buffer."""
        start = 0
        for name, piece in self.by_name.items():
            yield name, values[start : start + piece.numel()].reshape(tuple(piece.shape))
            start += piece.numel()

    def clear(self) -> None:
        """Sets all gradients to 0; takes the place of gradients that an optimizer has set."""
        self.buffer.zero_()
        for name in self.replaced():
            self._parameters[name].grad = self.by_name[name]

    def replaced(self) -> list[str]:
        """Returns the names of parameters whose gradient is not in the buffer."""
        return [name for name, each in self._parameters.items() if each.grad is not self.by_name[name]]

    def require_whole(self, others: Mapping[str, Any]) -> None:
        """Refuses a pass that did not leave all gradients in the buffer.

        Args:
            others: parameters that are not trained, since no output depends on them.

        Raises:
            TaskFailedError: a gradient was replaced, or one of the others has got one.
        """
        replaced = self.replaced()
        if replaced:
            text = f"the network or its loss has set the gradient of {', '.join(replaced)} in a pass"
            raise TaskFailedError(f"{text}: the group would not see it; leave `zero_grad` and `.grad` out")
        late = [name for name, parameter in others.items() if parameter.grad is not None]
        if late:
            text = f"parameters {', '.join(late)} take part in this batch, but in none of samples of ones"
            raise TaskFailedError(f"{text}: they are not trained; let every forward pass use all parameters")

    def finite(self) -> bool:
        """Returns whether all gradients are finite."""
        return bool(torch.isfinite(self.buffer).all())

    def norm(self) -> float:
        """Returns the Euclidean norm of all gradients together."""
        return float(torch.linalg.vector_norm(self.buffer, dtype=torch.float64))
