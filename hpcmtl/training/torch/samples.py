"""Makes tensors of the samples that a network takes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hpcmtl.training.network_inputs import input_type, require_taken
from hpcmtl.training.torch.compat import import_torch
from hpcmtl.training.torch.place import CPU
from hpcmtl.training.trial_rows import trial_rows

if TYPE_CHECKING:
    import numpy as np

    from hpcmtl.networks.input_values import InputValues
    from hpcmtl.networks.models import Shape

torch = import_torch()


def samples_of(inputs: np.ndarray[Any, Any], values: InputValues, place: Any = CPU) -> Any:
    """Returns a copy of samples as a tensor, int64 or float32.

    Raises:
        InputError: the network takes integers, and the samples are no such integers.
    """
    require_taken(inputs, values)
    return torch.from_numpy(inputs.astype(input_type(values))).to(place)  # a third of the time of a copy by PyTorch


def trial_samples(count: int, sample: Shape, values: InputValues) -> Any:
    """Returns samples of ones as a tensor on the host, see `trial_rows`."""
    return torch.from_numpy(trial_rows(count, sample, values))
