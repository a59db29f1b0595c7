"""The type in which samples reach a network, and the refusal of samples that it does not take."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from hpcmtl.data.fitness import integer_problem
from hpcmtl.errors import InputError, Problem

if TYPE_CHECKING:
    from hpcmtl.networks.input_values import InputValues


def input_type(values: InputValues) -> np.dtype[Any]:
    """Returns the type in which samples reach a network that takes such values, in each framework."""
    return np.dtype(np.int64 if values.integers else np.float32)


def require_taken(inputs: np.ndarray[Any, Any], values: InputValues) -> None:
    """Refuses samples that are not integers, or none of those that the network takes; floats take all numbers.

    A framework would cut fractions off, or take the nearest row of an embedding.

    Args:
        inputs: samples (n, ...).
        values: values that the network takes.

    Raises:
        InputError: there is such a sample.
    """
    if not values.integers:
        return
    places = (int(inputs.argmin()), int(inputs.argmax())) if inputs.size else ()
    extremes = [(place // inputs[0].size, inputs.flat[place].item()) for place in places]
    problem = integer_problem(inputs.dtype, extremes, values.below)
    if problem is not None:
        raise InputError([Problem("input", problem)])
