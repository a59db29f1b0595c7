"""Makes NDArrays of the samples that a network takes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hpcmtl.training.gluon.compat import import_mxnet
from hpcmtl.training.network_inputs import input_type, require_taken
from hpcmtl.training.trial_rows import trial_rows

if TYPE_CHECKING:
    import numpy as np

    from hpcmtl.networks.input_values import InputValues
    from hpcmtl.networks.models import Shape

mx = import_mxnet()


def samples_of(inputs: np.ndarray[Any, Any], values: InputValues, context: Any = None) -> Any:
    """Returns a copy of samples as an NDArray, int64 or float32.

    Raises:
        InputError: the network takes integers, and the samples are no such integers.
    """
    require_taken(inputs, values)
    return mx.nd.array(inputs, ctx=context, dtype=input_type(values))  # without a type it makes float32


def trial_samples(count: int, sample: Shape, values: InputValues) -> Any:
    """Returns samples of ones as an NDArray on the host, see `trial_rows`."""
    return samples_of(trial_rows(count, sample, values), values)
