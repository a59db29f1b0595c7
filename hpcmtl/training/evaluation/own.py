"""Metrics of the user's: ``package.module:attribute``, over the samples of all ranks together.

It is a function of (outputs, targets, weights), or an object with two functions: ``sums`` of (outputs, targets,
weights) returns numbers that add up over batches and ranks, ``value`` makes the metric of their totals.
"""

from __future__ import annotations

import inspect
import math
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from hpcmtl.errors import users_place
from hpcmtl.jobfile.resolve import resolve
from hpcmtl.training.evaluation.checked_rows import refuse
from hpcmtl.training.evaluation.undefined import UndefinedMetricError

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from hpcmtl.training.evaluation.checked_rows import AnyArray
    from hpcmtl.training.evaluation.ranking import Scores

_TRIAL_SAMPLES = 6


def import_own_metric(name: str) -> Any:
    """Imports a metric of the user's.

    Raises:
        InputError: it cannot be imported, or is neither a function of three arguments nor a pair of functions.
    """
    found = resolve(name)
    if has_sums(found):
        _require_arguments(name, found.sums, "outputs", "targets", "weights")
        _require_arguments(name, found.value, "sums")
    else:
        _require_arguments(name, found, "outputs", "targets", "weights")
    return found


def has_sums(found: object) -> bool:
    """Returns true for a metric of the user's that follows from sums over batches and ranks."""
    return hasattr(found, "sums") and hasattr(found, "value")


def _require_arguments(name: str, function: object, *arguments: str) -> None:
    listed = ", ".join(arguments)
    if not callable(function):
        refuse(name, [f"is a {type(function).__name__}, not a function of ({listed})"])
    with suppress(ValueError):  # some functions of C have no signature
        try:
            inspect.signature(function).bind(*arguments)
        except TypeError as error:
            refuse(name, [f"cannot be called with ({listed}): {error}"])


def own_metric(
    name: str, outputs: AnyArray, targets: AnyArray, weights: AnyArray | None, known: NDArray[np.bool_] | None
) -> float:
    """Calls a function of the user's with (outputs, targets, weights), and returns its number.

    Args:
        name: reference of the function.
        outputs: (n, ...) outputs of the network.
        targets: (n, ...) labels; 0 for those that are not known.
        weights: (n,) weight of each sample; None for ones.
        known: (n, labels) which labels are known, where samples have several; the function gets weights (n, labels).

    Raises:
        InputError: it cannot be imported, fails, or returns no number.
        UndefinedMetricError: it returns a number that is not finite.
    """
    counts = np.ones(len(outputs)) if weights is None else np.asarray(weights, dtype=np.float64)
    if known is not None:
        counts = counts[:, np.newaxis] * known
    found = import_own_metric(name)
    if has_sums(found):
        return own_value(name, own_sums(name, outputs, targets, counts))
    return _number(name, _called(name, found, outputs, targets, counts))


def own_sums(name: str, outputs: AnyArray, targets: AnyArray, counts: AnyArray) -> Scores:
    """Calls the ``sums`` of a metric of the user's, and returns its numbers.

    Raises:
        InputError: it cannot be imported, fails, or returns no numbers.
    """
    found = _called(name, import_own_metric(name).sums, outputs, targets, counts)
    try:
        return np.asarray(found, dtype=np.float64)
    except (TypeError, ValueError):
        refuse(name, [f"`sums` returns a {type(found).__name__}; return a number or an array of numbers"])


def own_value(name: str, sums: Scores) -> float:
    """Calls the ``value`` of a metric of the user's with the totals of its ``sums``, and returns its number.

    Raises:
        InputError: it cannot be imported, fails, or returns no number.
        UndefinedMetricError: it returns a number that is not finite.
    """
    return _number(name, _called(name, import_own_metric(name).value, sums))


def _called(name: str, function: Callable[..., object], *arrays: AnyArray) -> object:
    try:
        return function(*map(_copy, arrays))
    except Exception as error:  # noqa: BLE001 - users' code
        refuse(name, [f"fails with {type(error).__name__}: {error}{users_place(error)}"])


def _number(name: str, found: object) -> float:
    if isinstance(found, np.ndarray | np.generic) and found.size == 1:
        found = found.item()
    if isinstance(found, bool) or not isinstance(found, int | float):
        refuse(name, [f"returns a {type(found).__name__}; return one number, such as a float"])
    if not math.isfinite(found):
        raise UndefinedMetricError(f"{name} returns {found}")
    return float(found)


def _copy(array: AnyArray) -> AnyArray:
    """Returns a copy, so that a function that changes its arguments changes no other metric."""
    return np.array(array)


class TrialRows(NamedTuple):
    """The rows on which a function is tried.

    Attributes:
        made: shape of one sample of the network's output.
        target: shape of one sample of the targets.
        classes: number of classes of targets that are whole numbers; None for floating point targets.
        partly: whether labels may be missing.
    """

    made: tuple[int, ...]
    target: tuple[int, ...]
    classes: int | None
    partly: bool = False


def try_own_metric(name: str, rows: TrialRows) -> None:
    """Calls a function of the user's with a few rows, as `validate` does.

    Raises:
        InputError: it cannot be imported, fails, or returns no number.
    """
    random, labels = np.random.default_rng(1), math.prod(rows.target)
    outputs: AnyArray = random.normal(size=(_TRIAL_SAMPLES, *rows.made)).astype(np.float32)
    numbers = np.arange(_TRIAL_SAMPLES * labels).reshape(_TRIAL_SAMPLES, *rows.target) % (rows.classes or 2)
    known = None
    if rows.partly and labels > 1:  # as `over_known_labels` gives them
        known = np.arange(_TRIAL_SAMPLES * labels).reshape(_TRIAL_SAMPLES, labels) % 3 > 0
        outputs, numbers = outputs.reshape(_TRIAL_SAMPLES, -1), numbers.reshape(_TRIAL_SAMPLES, -1) * known
    targets = numbers.astype(np.float32 if rows.classes is None else np.int64)
    try:
        own_metric(name, outputs, targets, None, known)
    except UndefinedMetricError:  # these rows are no real ones
        return
