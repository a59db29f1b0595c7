"""Values of a run as strict JSON, which any parser accepts: a number that is not finite becomes a string."""

from __future__ import annotations

import dataclasses
import enum
import json
import math
import sys
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any


def to_json(value: Any, indent: int | None = None) -> str:
    """Returns a value as JSON text; without `indent` on one line.

    NaN and the infinities become the strings ``"nan"``, ``"inf"`` and ``"-inf"`` (`float` reads them back); numpy
    numbers and arrays, dataclasses, enums, paths and datetimes become the corresponding JSON values.

    Raises:
        TypeError: a value has another type; the message names its place.
    """
    return json.dumps(_plain(value, ""), indent=indent, allow_nan=False)


def _plain(value: Any, place: str) -> Any:
    if isinstance(value, enum.Enum):
        return _plain(value.value, place)
    if _is_of_numpy(value):
        return _plain(value.tolist(), place)
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if isinstance(value, str):  # half of a surrogate pair is refused by other parsers, and by validation
        return value if value.isascii() else value.encode("utf-8", "backslashreplace").decode()
    if value is None or isinstance(value, int):
        return value
    if isinstance(value, Path | datetime):
        return str(value) if isinstance(value, Path) else value.isoformat()
    if isinstance(value, list | tuple):
        return [_plain(item, f"{place}[{number}]") for number, item in enumerate(value)]
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        value = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(key): _plain(item, f"{place}.{key}") for key, item in value.items()}
    raise TypeError(f"{place.lstrip('.') or 'the value'} is a {type(value).__name__}, which JSON cannot hold")


def _is_of_numpy(value: Any) -> bool:
    numpy = sys.modules.get("numpy")  # not imported here: a caller with a numpy value has imported it
    return numpy is not None and isinstance(value, numpy.generic | numpy.ndarray)
