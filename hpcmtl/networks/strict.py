"""Numbers of a job file are numbers: texts and truth values are not taken for them, whichever form the file has."""

from __future__ import annotations

import inspect
import math
from typing import TYPE_CHECKING, Any

from pydantic_core import core_schema

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

_BY_NAME = frozenset({"choices", "fields"})
_TYPES = {"int": int, "float": float, "bool": bool}
_TRUTH = frozenset({"true", "false", "yes", "no", "on", "off"})
_LEFT_ALONE = frozenset({"cls", "config", "default", "function", "metadata", "ref", "serialization"})


def strict_numbers(schema: Any) -> Any:
    """Returns a validator of pydantic in which numbers and truth values are not made of other values."""
    if isinstance(schema, list | tuple):
        return type(schema)(map(strict_numbers, schema))
    if not _is_schema(schema):
        return schema
    kind, function = schema["type"], schema.get("function")
    if kind in {"int", "float"}:
        return core_schema.no_info_before_validator_function(_number, schema)
    if kind == "bool":
        return {**schema, "strict": True}
    if isinstance(function, dict) and function.get("function") is _number:
        return schema
    return {key: _strict_entry(key, value) for key, value in schema.items()}


def _strict_entry(key: str, value: Any) -> Any:
    if key in _LEFT_ALONE:
        return value
    if key in _BY_NAME and isinstance(value, dict):  # of fields, or of the members of a union
        return {name: strict_numbers(inner) for name, inner in value.items()}
    return strict_numbers(value) if isinstance(value, list | tuple) or _is_schema(value) else value


def _is_schema(value: Any) -> bool:
    return isinstance(value, dict) and isinstance(value.get("type"), str)


def is_number_in_text(value: Any) -> bool:
    """Returns true if a value is a text that reads as a number."""
    try:
        return isinstance(value, str) and not math.isnan(float(value))
    except ValueError:
        return False


def is_truth_in_text(value: Any) -> bool:
    """Returns true if a value is a text that reads as a truth value; each of them counts as true in Python."""
    return isinstance(value, str) and (value.lower() in _TRUTH or is_number_in_text(value))


def misplaced_texts(make: Callable[..., Any], arguments: Mapping[str, Any]) -> Iterator[str]:
    """Yields the arguments that are numbers or truth values in quotes, where a callable takes these.

    What it takes is said by the type of a parameter, or else by its default. Other texts are left to the callable.
    """
    try:
        known = inspect.signature(make).parameters
    except (TypeError, ValueError):  # one of C has none
        return
    for name in filter(known.__contains__, arguments):
        value, annotation = arguments[name], known[name].annotation
        wanted = _TYPES.get(str(getattr(annotation, "__name__", annotation)), type(known[name].default))
        if wanted in {int, float} and is_number_in_text(value):
            yield f"{name} is {value!r}, a text; write the number without quotes"
        elif wanted is bool and is_truth_in_text(value):
            yield f"{name} is {value!r}, a text, which counts as true; write true or false, without quotes"


def _number(value: Any) -> Any:
    if isinstance(value, bool | str):
        hint = ", without quotes" if is_number_in_text(value) else ""
        raise ValueError(f"found {value!r}; write a number{hint}")  # noqa: TRY004 - pydantic's
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"found {value!r}; write a finite number")
    return value
