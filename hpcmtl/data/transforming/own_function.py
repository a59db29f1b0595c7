"""A function of the user's as a transform: how it is called, and what it may return."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

import numpy as np

from hpcmtl.errors import InputError, Problem, reason_of
from hpcmtl.jobfile.resolve import resolve

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from hpcmtl.arrays import Ints
    from hpcmtl.data.transforming.sample_random import SampleRandom
    from hpcmtl.jobfile.transforms import OwnTransform

_GIVEN = ("inputs", "rows", "random")
_POSITIONAL = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
_NUMBERS = "iufb"


def own_function(given: OwnTransform) -> Callable[[NDArray[np.float32], Ints, SampleRandom], NDArray[np.float32]]:
    """Returns a function of samples (n, ...), their numbers (n,) and random numbers, which calls that of the user.

    Raises:
        InputError: it cannot be imported, is not callable, or takes other arguments.
    """
    function = resolve(given.name)
    if not callable(function):
        raise refusal(given.name, f"is a {type(function).__name__}, not a function")
    count = _arguments(given, function)

    def changed(rows: NDArray[np.float32], numbers: Ints, random: SampleRandom) -> NDArray[np.float32]:
        try:
            made = function(*(rows.copy(), numbers.copy(), random)[:count], **given.arguments)
        except (Exception, SystemExit) as error:
            text = f"fails for samples {_some(numbers)}: {reason_of(error)}"
            raise refusal(given.name, text) from error
        return _checked(given.name, made, rows, numbers)

    return changed


def refusal(name: str, text: str) -> InputError:
    """Returns the error for a transform."""
    return InputError([Problem(f"transform {name}", text)])


def _arguments(given: OwnTransform, function: Callable[..., Any]) -> int:
    """Returns how many arguments without a name a function is called with."""
    try:
        signature = inspect.signature(function)
    except ValueError:  # some functions of C have no signature
        return 1
    wanted = [
        each
        for each in signature.parameters.values()
        if each.kind in _POSITIONAL and each.default is each.empty and each.name not in given.arguments
    ]
    count = max(len(wanted), 1)
    try:
        signature.bind(*_GIVEN[:count], **given.arguments)
    except TypeError as error:
        text = f"cannot be called ({error}): it is given {', '.join(_GIVEN)}, or the first of these"
        raise refusal(given.name, f"{text}, and `arguments` by their names") from error
    return count


def _checked(name: str, made: object, rows: NDArray[np.float32], numbers: Ints) -> NDArray[np.float32]:
    """Returns what a function made as float32, if it is an array of finite numbers of the shape of the samples."""
    if not isinstance(made, np.ndarray):
        raise refusal(name, f"returns a {type(made).__name__}; it returns the array of the changed samples")
    if made.dtype.kind not in _NUMBERS:
        raise refusal(name, f"returns an array of {made.dtype}; a network takes numbers")
    if len(made.shape) == 0 or len(made) != len(rows):
        found = "one value" if not made.shape else f"{len(made)} rows"
        raise refusal(name, f"returns {found} for {len(rows)} samples; it returns one for each, in their order")
    if made.shape != rows.shape:
        text = f"makes samples of shape {made.shape[1:]}, but the network takes {rows.shape[1:]}"
        raise refusal(name, f"{text}; it keeps the shape of a sample")
    with np.errstate(over="ignore"):
        values = made.astype(np.float32)
    bad = ~np.isfinite(values).reshape(len(rows), -1).all(axis=1)
    if bad.any():
        found = values[bad].ravel()
        text = f"makes {found[~np.isfinite(found)][0]} of sample {numbers[bad][0]}"
        raise refusal(name, f"{text}; a network takes finite numbers (float32)")
    return values


def _some(numbers: Ints) -> str:
    shown = ", ".join(map(str, numbers[:3].tolist()))
    return shown if len(numbers) <= 3 else f"{shown} and {len(numbers) - 3} more"
