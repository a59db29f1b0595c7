"""The type in which samples reach a network, and the refusal of samples that it does not take."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from hpcmtl.data.fitness import integer_problem
from hpcmtl.errors import InputError, Problem
from hpcmtl.networks.input_values import INPUT

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from hpcmtl.arrays import Arrays
    from hpcmtl.networks.input_values import InputValues


def input_type(values: InputValues) -> np.dtype[Any]:
    """Returns the type in which samples reach a network that takes such values, in each framework."""
    return np.dtype(np.int64 if values.integers else np.float32)


def taken(
    inputs: Arrays, values: Mapping[str, InputValues]
) -> Iterator[tuple[str, np.ndarray[Any, Any], np.dtype[Any]]]:
    """Yields name, samples and type of each input of a network, in the order of its inputs.

    Args:
        inputs: name of an input -> samples (n, ...).
        values: name of an input -> values that the network takes.

    Raises:
        InputError: there are samples that it does not take, or other inputs.
    """
    if inputs.keys() != values.keys():
        text = f"found samples of {' and '.join(inputs)}; the network takes {' and '.join(values)}"
        raise InputError([Problem("input", text)])
    for name, each in values.items():
        require_taken(name, inputs[name], each)
        yield name, inputs[name], input_type(each)


def require_taken(name: str, inputs: np.ndarray[Any, Any], values: InputValues) -> None:
    """Refuses samples that are not integers, or none of those that the network takes; floats take all numbers.

    A framework would cut fractions off, or take the nearest row of an embedding.

    Args:
        name: name of the input.
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
        raise InputError([Problem(INPUT if name == INPUT else f"{INPUT} {name}", problem)])
