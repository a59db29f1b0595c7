"""Compressors: representations of gradients on the wire; these here work on numpy views."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from hpcmtl.arrays import Arrays
    from hpcmtl.training.collectives.base import ArrayKind


class Compressor(Protocol):
    """Turns the gradients of one rank into arrays to aggregate over the group, and the aggregate into gradients.

    It is called with the same gradients in the same order at each step.
    """

    @property
    def name(self) -> str:
        """Name of the compressor, as `compression` in the job file."""
        ...

    @property
    def takes(self) -> ArrayKind:
        """Kind of arrays that `compress` and `decompress` take."""
        ...

    @property
    def scales_loss(self) -> bool:
        """Returns whether gradients need a loss scale, and steps that overflow are skipped."""
        ...

    def compress(self, gradients: Sequence[Any]) -> Sequence[Any]:
        """Returns the arrays to aggregate; they may be the gradients themselves."""
        ...

    def decompress(self, arrays: Sequence[Any], gradients: Sequence[Any]) -> None:
        """Overwrites the gradients with the aggregate.

        Args:
            arrays: arrays that `compress` returned, overwritten with their aggregate over the group.
            gradients: gradients that `compress` was called with.
        """
        ...

    def state(self) -> Arrays:
        """Returns copies of this rank's state by name, such as the residuals of error feedback."""
        ...

    def load_state(self, state: Mapping[str, np.ndarray[Any, Any]]) -> None:
        """Restores what `state` returned; names that are missing take their initial values."""
        ...


class NoCompression:
    """Aggregates the gradients as they are; see `Compressor`."""

    name = "none"
    takes: ArrayKind = "any"
    scales_loss = False

    def compress(self, gradients: Sequence[Any]) -> Sequence[Any]:
        """See `Compressor`."""
        return gradients

    def decompress(self, arrays: Sequence[Any], gradients: Sequence[Any]) -> None:
        """See `Compressor`."""

    def state(self) -> Arrays:
        """See `Compressor`."""
        return {}

    def load_state(self, state: Mapping[str, np.ndarray[Any, Any]]) -> None:
        """See `Compressor`."""


class Fp16Compressor(NoCompression):
    """Aggregates gradients as float16; a gradient that overflows float16 becomes infinite."""

    name = "fp16"
    takes: ArrayKind = "views"
    scales_loss = True

    def compress(self, gradients: Sequence[Any]) -> Sequence[Any]:
        """See `Compressor`."""
        with np.errstate(over="ignore"):
            return [gradient.astype(np.float16) for gradient in gradients]

    def decompress(self, arrays: Sequence[Any], gradients: Sequence[Any]) -> None:
        """See `Compressor`."""
        for half, gradient in zip(arrays, gradients, strict=True):
            gradient[...] = half


class NativeHalves(NoCompression):
    """Aggregates gradients as float16, in arrays of a framework that are made at the first step; see `Compressor`.

    A framework derives its own from it; a gradient that overflowed float16 is infinite.
    """

    name = "fp16"
    takes: ArrayKind = "native"
    scales_loss = True

    def __init__(self) -> None:
        self._halves: Sequence[Any] = ()

    def compress(self, gradients: Sequence[Any]) -> Sequence[Any]:
        """See `Compressor`."""
        if not self._halves:
            self._halves = self.made(gradients)
        for gradient, half in zip(gradients, self._halves, strict=True):
            self.convert(gradient, half)
        return self._halves

    def decompress(self, arrays: Sequence[Any], gradients: Sequence[Any]) -> None:
        """See `Compressor`."""
        for gradient, half in zip(gradients, arrays, strict=True):
            self.convert(half, gradient)

    def made(self, gradients: Sequence[Any]) -> Sequence[Any]:
        """Returns an array of float16 for each gradient, on its device."""
        raise NotImplementedError

    def convert(self, source: Any, target: Any) -> None:
        """Copies an array to one of another type."""
        raise NotImplementedError
