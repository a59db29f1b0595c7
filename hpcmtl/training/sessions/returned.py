"""The result of a user's callable: metrics, the arrays of its `outputs`, and their split; and its publication."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from hpcmtl.data.given_arrays import given_array
from hpcmtl.data.hdf5 import publish_arrays
from hpcmtl.errors import TaskFailedError, nearest
from hpcmtl.training.artifacts.description import file_attributes
from hpcmtl.training.artifacts.publish import publish_whole
from hpcmtl.training.artifacts.record import describe_data
from hpcmtl.training.session import artifact_file

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from hpcmtl.arrays import Arrays
    from hpcmtl.training.kinds.schemas import Output
    from hpcmtl.training.session import SessionContext


@dataclass(frozen=True, kw_only=True)
class Returned:
    """The parts of the result of a callable.

    Attributes:
        metrics: numbers by name.
        arrays: arrays by the name of the output.
        split: (samples,) split of their samples.
    """

    metrics: dict[str, float]
    arrays: Arrays
    split: NDArray[Any]


def publish_returned(
    context: SessionContext, callable_name: str, returned: Any, outputs: Mapping[str, Output]
) -> dict[str, float]:
    """Publishes the arrays that a callable returned, on the group's first rank alone; returns its metrics.

    Args:
        context: context of the session.
        callable_name: ``package.module:attribute``, for messages.
        returned: result of the callable.
        outputs: arrays that the task declares.

    Raises:
        TaskFailedError: see `returned_values`.
    """
    name = f"task {context.task}: {callable_name}"
    result = returned_values(name, returned, outputs)
    if result.arrays:
        attributes = file_attributes(describe_data(context, result.arrays, result.metrics))
        publish_arrays(artifact_file(context.directory, context.task), result.arrays, result.split, attributes, name)
        publish_whole(context, result.arrays, result.split)
    return result.metrics


def returned_values(callable_name: str, returned: Any, outputs: Mapping[str, Output]) -> Returned:
    """Divides the result of a callable.

    Args:
        callable_name: task and callable, for messages.
        returned: a mapping, or None.
        outputs: arrays that the task declares.

    Raises:
        TaskFailedError: the result is no mapping, lacks an output, or has values that cannot be used.
    """
    if returned is not None and not isinstance(returned, Mapping):
        found = f"returned a {type(returned).__name__}, not a mapping of metrics and outputs, or nothing"
        raise TaskFailedError(f"{callable_name} {found}")
    result = dict(returned or {})
    missing = [name for name in outputs if name not in result]
    if missing:
        raise TaskFailedError(f"{callable_name} did not return {_missing_text(missing, result)}")
    arrays = {name: _array(callable_name, name, result.pop(name), output) for name, output in outputs.items()}
    split = np.empty(0, np.uint8)
    if arrays:
        _require_one_length(callable_name, arrays)
        rows = np.shape(next(iter(arrays.values())))[:1]
        split = _array(callable_name, "split", result.pop("split", np.zeros(rows or 1, np.uint8)), None)
    odd = [name for name, value in result.items() if not _is_number(value)]
    if odd:
        text = f"{callable_name.partition(': ')[0]}: {', '.join(odd)} is neither a number nor among `outputs`"
        raise TaskFailedError(f"{text} ({', '.join(outputs) or 'none'}); name arrays there")
    return Returned(metrics={name: _number(value) for name, value in result.items()}, arrays=arrays, split=split)


def _number(value: Any) -> float:
    """Returns a number as float; a whole number that float64 cannot hold stays whole."""
    made = float(value)
    return made if not isinstance(value, int | np.integer) or int(made) == int(value) else int(value)


def _missing_text(missing: list[str], result: Mapping[str, Any]) -> str:
    """Returns the outputs that are missing, and what was returned in their place."""
    if not result:
        return f"{', '.join(missing)}; it returned nothing. Return a mapping, such as {{{missing[0]!r}: ARRAY}}"
    wrong = "".join(nearest(name, map(str, result)) for name in missing[:1])
    found = f"; it returned {', '.join(map(str, result))}"
    return f"{', '.join(missing)}{found}{wrong if wrong.startswith('; did') else ''}"


def _require_one_length(callable_name: str, arrays: Arrays) -> None:
    """Refuses outputs with different numbers of samples."""
    lengths = {name: len(array) for name, array in arrays.items() if array.ndim}
    if len(set(lengths.values())) > 1:
        found = ", ".join(f"{name} {length}" for name, length in lengths.items())
        text = f"its outputs have different numbers of samples ({found}); the first axis counts samples"
        raise TaskFailedError(f"{callable_name}: {text}")


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float | np.number | np.bool_) and not isinstance(value, np.complexfloating)


def _array(callable_name: str, name: str, value: Any, output: Output | None) -> NDArray[Any]:
    try:
        array = np.asarray(given_array(value))
    except ValueError as error:
        raise TaskFailedError(f"{callable_name}: output {name} {error}") from error
    if output is None:
        return array
    declared, found = output.type, "text" if array.dtype.kind == "U" else array.dtype.newbyteorder("=").name
    if declared not in {None, found}:
        convert = "str" if declared == "text" else f'"{declared}"'
        remedy = f"return it with .astype({convert}), or declare it as {found}"
        raise TaskFailedError(f"{callable_name}: output {name} is declared as {declared}, but is {found}; {remedy}")
    if output.shape is not None and array.shape[1:] != output.shape:
        shapes = f"of shape {list(output.shape)}, but has samples of shape {list(array.shape[1:])}"
        text = f"output {name} is declared with samples {shapes}; return that shape, or declare this one"
        raise TaskFailedError(f"{callable_name}: {text}")
    return array
