"""Types of values in the job file: sizes, names, references."""

from __future__ import annotations

import math
import os
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BeforeValidator, Field, WithJsonSchema

from hpcmtl.frameworks.registry import loadable_descriptions
from hpcmtl.networks.bounds import MOST, MOST_BYTES
from hpcmtl.networks.objective import NAN

if TYPE_CHECKING:
    from pydantic import GetJsonSchemaHandler
    from pydantic_core import CoreSchema

_UNITS = {"": 1, "B": 1, "KIB": 2**10, "MIB": 2**20, "GIB": 2**30, "KB": 10**3, "MB": 10**6, "GB": 10**9}


def parse_size(value: Any) -> Any:
    """Turns a text such as ``4MiB`` into bytes; leaves any other value for the type check."""
    if not isinstance(value, str):
        return value
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([A-Za-z]*)\s*", value)
    if match is None or match[2].upper() not in _UNITS:
        raise ValueError(f"{value!r} is not a size; write bytes or a number with KiB, MiB, GiB, e.g. 4MiB")
    return int(float(match[1]) * _UNITS[match[2].upper()])


ByteSize = Annotated[
    int,
    BeforeValidator(parse_size),
    Field(gt=0, le=MOST_BYTES),
    WithJsonSchema({"anyOf": [{"type": "integer"}, {"type": "string"}]}),
]
ByteSizeOrNone = Annotated[
    int,
    BeforeValidator(parse_size),
    Field(ge=0, le=MOST_BYTES),
    WithJsonSchema({"anyOf": [{"type": "integer"}, {"type": "string"}]}),
]
# Names become file names. Most file systems take 255 bytes, our endings and marks of unfinished files included.
Name = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_.-]*$", max_length=100)]
Reference = Annotated[
    str,
    Field(pattern=r"^[^/\s]+/[^/\s]+$", description="source/dataset: a data name or a task, and an array"),
]
Callable_ = Annotated[str, Field(pattern=r"^[A-Za-z_][\w.]*:[A-Za-z_]\w*$", description="package.module:attribute")]


def _as_text(value: Any) -> Any:
    return os.fspath(value) if isinstance(value, os.PathLike) else value


PathText = Annotated[str, BeforeValidator(_as_text)]


@dataclass(frozen=True)
class OfFrameworks:
    """Annotates a name that a registered framework has; `check.py` compares it with the framework of the task.

    The JSON Schema lists the names of all frameworks that are registered when it is made.

    Attributes:
        names: attribute of `FrameworkDescription` that lists the valid names, or ``name`` for the frameworks' own.
    """

    names: Literal["name", "engines", "compressions"]

    def __get_pydantic_json_schema__(self, core_schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        """Returns the schema of a string that is one of the names."""
        found = [getattr(framework, self.names) for framework in loadable_descriptions()]
        valid = [name for names in found for name in ([names] if isinstance(names, str) else names)]
        return {**handler(core_schema), "enum": list(dict.fromkeys(valid))}


def _as_word(value: Any) -> Any:
    """Turns NaN, which YAML writes as ``.nan``, into the word that stands for it."""
    return NAN if isinstance(value, float) and math.isnan(value) else value


MissingLabel = Annotated[
    Annotated[float, Field(allow_inf_nan=False, strict=True)] | Literal["nan"], BeforeValidator(_as_word)
]
DeviceName = Literal["auto", "cpu", "gpu"]
Precision = Literal["fp32", "bf16", "fp16"]
FrameworkName = Annotated[str, OfFrameworks("name")]
EngineName = Annotated[str, OfFrameworks("engines")]
CompressionName = Annotated[str, OfFrameworks("compressions")]
EdgeKind = Literal["data", "compute", "parameters", "order"]
SplitName = Literal["train", "val", "test"]
Every = Annotated[int, Field(gt=0, le=MOST)] | Literal["layer"]
