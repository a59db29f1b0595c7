"""Makes NDArrays of the samples that a network takes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hpcmtl.training.gluon.compat import import_mxnet
from hpcmtl.training.network_inputs import taken
from hpcmtl.training.trial_rows import trial_rows

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hpcmtl.arrays import Arrays
    from hpcmtl.networks.input_values import InputValues
    from hpcmtl.networks.shapes import InputShapes

mx = import_mxnet()


def samples_of(inputs: Arrays, values: Mapping[str, InputValues], context: Any = None) -> list[Any]:
    """Returns copies of the samples of all inputs as NDArrays, int64 or float32, in the order of `values`.

    Raises:
        InputError: the network takes integers, and the samples are no such integers.
    """
    # Without a type it makes float32.
    return [mx.nd.array(each, ctx=context, dtype=dtype) for _, each, dtype in taken(inputs, values)]


def trial_samples(count: int, samples: InputShapes, values: Mapping[str, InputValues]) -> list[Any]:
    """Returns samples of ones as NDArrays on the host, see `trial_rows`."""
    return samples_of(trial_rows(count, samples, values), values)


def symbols(inputs: int) -> list[Any]:
    """Returns a symbol for each of a number of inputs, to trace a block with."""
    return [mx.sym.var(f"data{number}") for number in range(inputs)]
