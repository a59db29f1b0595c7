"""The inputs that a network of a user's takes, by the names of the arguments of its forward pass."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

from hpcmtl.errors import InputError, Problem
from hpcmtl.networks.input_values import INPUT, other_inputs

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

_NAMED = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
_OPEN = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)


def arguments_of(function: Callable[..., Any]) -> list[inspect.Parameter]:
    """Returns the parameters of a function, without `self` of a method; none if it has no signature."""
    try:
        return list(inspect.signature(function).parameters.values())
    except (TypeError, ValueError):
        return []


def in_order(arguments: Sequence[inspect.Parameter], given: Collection[str]) -> tuple[str, ...]:
    """Returns the names of inputs in the order of the arguments that take them.

    Those that arguments of any name take (``*inputs``, ``**inputs``) come last, in the order of their names.

    Args:
        arguments: arguments of a forward pass that are inputs.
        given: names of the inputs.

    Raises:
        InputError: the forward pass takes other inputs.
    """
    named = [each for each in arguments if each.kind in _NAMED]
    needed = [each.name for each in named if each.default is each.empty]
    is_open = not arguments or any(each.kind in _OPEN for each in arguments)
    if set(given) == {INPUT} and (is_open or len(needed) <= 1):  # it gets the input by its place
        return tuple(given)
    names = [each.name for each in named]
    others = sorted(name for name in given if name not in names)
    problem = other_inputs(
        needed or ([] if is_open or named else [INPUT]), given, [*names, *(others if is_open else ())]
    )
    if problem is not None:
        raise InputError([Problem("input", problem)])
    return (*(name for name in names if name in given), *others)


def takes_by_name(arguments: Sequence[inspect.Parameter], given: Collection[str]) -> bool:
    """Returns whether a forward pass takes each of some inputs by its name, not all of them as one.

    Args:
        arguments: arguments of the forward pass that are inputs.
        given: names of the inputs.

    Raises:
        InputError: it needs several inputs, and others than these.
    """
    named = [each for each in arguments if each.kind in _NAMED]
    if sum(each.default is each.empty for each in named) <= 1 and not {each.name for each in named} >= set(given):
        return False
    in_order(arguments, given)
    return True
