"""A trained network that was built from an artifact."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from hpcmtl.errors import InputError, Problem
from hpcmtl.networks.input_values import INPUT
from hpcmtl.training.network_inputs import require_taken

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from hpcmtl.arrays import Arrays
    from hpcmtl.data.transforming.transforms import TransformChain
    from hpcmtl.networks.input_values import InputValues
    from hpcmtl.training.artifacts.description import InputFormat
    from hpcmtl.training.framework import Network

_INTEGERS = "iub"  # numpy's kinds
BATCH = 256
"""Number of samples that a loaded network runs at once, unless the caller gives another one."""


@dataclass(frozen=True, eq=False)
class LoadedNetwork:
    """A trained network that was built from an artifact.

    Attributes:
        samples: the samples that it takes, by the names of its inputs.
        network: the framework's network, with the parameters of the artifact.
        heads: names of the heads of a joint network; empty for any other.
        values: values of the samples that it takes, by the names of its inputs.
        transforms: transforms that all samples got in training, such as `normalise`, by the names of the inputs that
            have some.
    """

    samples: Mapping[str, InputFormat]
    network: Network
    heads: tuple[str, ...] = ()
    values: Mapping[str, InputValues] = field(default_factory=dict)
    transforms: Mapping[str, TransformChain] = field(default_factory=dict)

    def outputs(
        self, inputs: NDArray[Any] | Mapping[str, NDArray[Any]], part: str | None = None, batch_size: int = BATCH
    ) -> Arrays:
        """Runs the network.

        Args:
            inputs: (n, *shape of a sample); such arrays in a mapping for a network whose inputs have names. Where the
                data file holds integers with a scale, integers of any type are multiplied by it, as those of the file
                were for the training; other numbers are taken as they are. Then they get the transforms of the training
                with ``on: all``; random ones draw for row i of the array what they draw for sample i of the data file.
            part: name of a part whose output is wanted; by default the outputs of the whole network. In a joint network
                it begins with ``trunk`` or ``heads.NAME``.
            batch_size: number of samples that are run at once.

        Returns:
            Name of the objective -> (n, ...); with `part` its output as ``values``.

        Raises:
            InputError: the samples have another shape or other names, the network takes integers and they are no such
                integers, or it has no such part.
        """
        given = inputs if isinstance(inputs, Mapping) else {INPUT: inputs}
        samples = self._samples({name: np.asarray(each) for name, each in given.items()})
        rows = len(next(iter(samples.values())))
        for name, chain in self.transforms.items():
            samples[name] = chain.changed(samples[name], np.arange(rows), None)
        batches = [slice(start, start + batch_size) for start in range(0, rows, batch_size)]
        with self._named_parts():
            made = [self.network.outputs({n: each[span] for n, each in samples.items()}, part) for span in batches]
        return {name: np.concatenate([each[name] for each in made]) for name in made[0]}

    @contextmanager
    def _named_parts(self) -> Iterator[None]:
        """Adds to the error for a part how those of a joint network are named."""
        try:
            yield
        except InputError as error:
            if not self.heads:
                raise
            heads = ", ".join(f"heads.{name}" for name in self.heads)
            text = f"; a part of a joint network begins with its trunk or a head: trunk, {heads}"
            raise InputError([Problem(each.where, each.message + text) for each in error.problems]) from error

    def _samples(self, arrays: Arrays) -> Arrays:
        """Returns the samples of all inputs as the network was trained on them.

        Raises:
            InputError: names, shapes or values are not those that the network takes.
        """
        if arrays.keys() != self.samples.keys():
            wanted = " and ".join(f"{name} {each.shape}" for name, each in self.samples.items())
            found = "one array" if arrays.keys() == {INPUT} else f"arrays {', '.join(arrays)}"
            text = f"found {found}; the network takes {wanted}: give them in a mapping by these names"
            remedy = "the network takes one array, not arrays by name"
            raise InputError([Problem("outputs", remedy if self.samples.keys() == {INPUT} else text)])
        if len({len(each) for each in arrays.values()}) > 1:
            counts = ", ".join(f"{len(each)} of {name}" for name, each in arrays.items())
            raise InputError([Problem("outputs", f"found other numbers of rows: {counts}; rows must belong together")])
        return {name: self._of_input(name, arrays[name]) for name in self.samples}

    def _of_input(self, name: str, array: NDArray[Any]) -> NDArray[Any]:
        known, values = self.samples[name], self.values[name]
        if known.ragged and array.ndim > 1 and array.shape[1]:  # any length
            found, wanted = array.shape[2:], known.shape[1:]
        else:
            found, wanted = array.shape[1:], known.shape
        if found != wanted or not len(array):
            shape = ("length", *known.shape[1:]) if known.ragged else known.shape
            text = f"found an array of shape {array.shape}; the network takes (n, {', '.join(map(str, shape))})"
            raise InputError([Problem("outputs", f"{text} with n of at least 1, as {known.reference} has")])
        dtype = np.dtype(known.dtype)
        stored = np.dtype(known.stored_dtype)
        as_stored = array.dtype == stored or (stored.kind in _INTEGERS and array.dtype.kind in _INTEGERS)
        if known.scale is not None and as_stored:
            return np.multiply(array, dtype.type(known.scale), dtype=dtype, casting="same_kind")
        if values.integers:
            require_taken(name, array, values)
            return array
        if array.dtype.kind not in "biuf":
            raise InputError([Problem("outputs", f"found an array of {array.dtype}; the network takes real numbers")])
        # Integers that are stored would cut 0.9 to 0, and wrap 300 to 44: the network computes in float32 anyway.
        return array if array.dtype == dtype else array.astype(np.float32)
