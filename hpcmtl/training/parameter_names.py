"""Selection of parameters by name, for every framework: several names of one, patterns, and those of another task.

A parameter that several parts of a network share (tied weights) has several names. Steps, messages and the optimizer's
state know it once, under the first of them; artifacts, checkpoints and patterns know all names.
"""

from __future__ import annotations

import fnmatch
from typing import TYPE_CHECKING, Any

import numpy as np

from hpcmtl.errors import InputError, Problem, nearest
from hpcmtl.exchange.store import PARAMETERS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from hpcmtl.arrays import Arrays
    from hpcmtl.networks.parameter_mapping import ParameterMapping
    from hpcmtl.networks.shapes import Shape


def distinct(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Returns every parameter once, under the first of its names."""
    return {names[0]: parameters[names[0]] for names in _names_of_each(parameters)}


def ties(parameters: Mapping[str, Any]) -> list[tuple[str, ...]]:
    """Returns the names of each parameter that has several."""
    return [tuple(names) for names in _names_of_each(parameters) if len(names) > 1]


def _names_of_each(parameters: Mapping[str, Any]) -> Iterable[list[str]]:
    names: dict[int, list[str]] = {}
    for name, parameter in parameters.items():
        names.setdefault(id(parameter), []).append(name)
    return names.values()


def one_value_each(parameters: Mapping[str, Any], values: Mapping[str, np.ndarray[Any, Any]], origin: str) -> Arrays:
    """Returns the value of each parameter once, under the first of those of its names that have values.

    Args:
        parameters: parameters under all their names.
        values: new values by name.
        origin: text for an error: what the values come from.

    Raises:
        InputError: two names of one parameter have different values.
    """
    named = {name: parameters[name] for name in values}
    for names in ties(named):
        for other in names[1:]:
            if not np.array_equal(values[other], values[names[0]], equal_nan=True):
                text = f"{names[0]} and {other} are one parameter of this network (tied weights)"
                raise InputError([Problem(origin, f"{text}, but have different values there: give it one of them")])
    return {name: values[name] for name in distinct(named)}


def mapped_values(
    parameters: Mapping[str, np.ndarray[Any, Any]], mapping: ParameterMapping, shapes: Mapping[str, Shape]
) -> Arrays:
    """Returns the values that a mapping gives to parameters of this network, by their names here.

    Args:
        parameters: arrays of the other task, under names that begin with `PARAMETERS`.
        mapping: names to copy.
        shapes: shapes of the parameters that may be overwritten, by name.

    Raises:
        InputError: no parameter matches, or a matching one has another shape.
    """
    origin, taken = f"parameters of {mapping.producer}", dict[str, np.ndarray[Any, Any]]()
    for full_name, array in parameters.items():
        name = full_name.removeprefix(PARAMETERS)
        target = mapping.target(name) if full_name.startswith(PARAMETERS) else None
        if target is None or target not in shapes:
            continue
        if shapes[target] != array.shape:
            text = f"parameter {name} of {mapping.producer} has shape {array.shape}, {target} has {shapes[target]}"
            raise InputError([Problem(origin, text)])
        taken[target] = array
    if not taken:
        text = f"no parameter matches {mapping.pattern!r}; this network has {', '.join(shapes)}"
        raise InputError([Problem(origin, text)])
    return taken


def frozen_names(names: Iterable[str], patterns: Sequence[str]) -> list[str]:
    """Returns the names of parameters that match a pattern of those that are not trained.

    Raises:
        InputError: a pattern matches no parameter.
    """
    found, known = [], list(names)
    for pattern in patterns:
        matching = fnmatch.filter(known, pattern)
        if not matching:
            raise InputError([Problem(f"freeze {pattern}", f"matches no parameter{nearest(pattern, known)}")])
        found += matching
    return list(dict.fromkeys(found))


def nothing_to_train(patterns: Sequence[str]) -> Problem:
    """Returns the problem of a network without a parameter that is trained."""
    if patterns:
        return Problem("freeze", f"{', '.join(patterns)} leaves no parameter to train; freeze less")
    return Problem("model", "the network has no parameter to train; none asks for a gradient, or there is no layer")
