"""Gradients of all trained parameters in one buffer: one clear a step, and one message over the group."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

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
        for name, parameter in parameters.items():
            parameter.grad = self.by_name[name]

    def pieces_of(self, values: np.ndarray[Any, Any]) -> Iterator[tuple[str, np.ndarray[Any, Any]]]:
        """Yields the piece of each parameter, in its shape, of an array with the values of the buffer."""
        start = 0
        for name, piece in self.by_name.items():
            yield name, values[start : start + piece.numel()].reshape(tuple(piece.shape))
            start += piece.numel()

    def clear(self) -> None:
        """Sets all gradients to 0."""
        self.buffer.zero_()

    def finite(self) -> bool:
        """Returns whether all gradients are finite."""
        return bool(torch.isfinite(self.buffer).all())
