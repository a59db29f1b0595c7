"""Sections of the schema around a place of a job file: the keys that are valid there, and where a key belongs."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, get_args, get_origin

from pydantic import BaseModel

from hpcmtl.errors import usual_name
from hpcmtl.jobfile.kind_registry import is_kind, kind_names, load_kind
from hpcmtl.jobfile.schema import Job
from hpcmtl.jobfile.tasks import TaskBase

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_MISSPELT = 0.85
"""Likeness from which a key is a misspelt key of its own section, and not one of another section."""
_ALIKE = 0.7
"""Likeness from which a key is rather a misspelt key of its own section than one of a section in it."""
_FEW = 2
"""Places up to which it helps to name them all."""


@dataclass(frozen=True)
class Section:
    """A section of a file: its key, and the models that it may be."""

    key: str
    models: tuple[type[BaseModel], ...]

    @property
    def keys(self) -> set[str]:
        """Returns the keys that the section may have."""
        return {field.alias or name for model in self.models for name, field in model.model_fields.items()}

    def parts(self) -> Iterator[Section]:
        """Yields the sections directly below this one."""
        for model in self.models:
            for name, field in model.model_fields.items():
                yield Section(field.alias or name, tuple(_models_in(field.annotation)))


def sections_to(raw: Any, loc: tuple[int | str, ...], root: type[BaseModel]) -> list[Section]:
    """Returns the sections of a file from its root to the one that has the key at a place of pydantic."""
    found = [Section("", (root,))]
    named = False  # true if the next step is a name that the user chose, not a key of the schema
    value = raw
    for step in loc[:-1]:
        here = found[-1]
        value = value[step] if holds(value, step) else value
        if named:
            named = False
            found[-1] = Section(here.key, tuple(_schema_of(model, value) for model in here.models))
            continue
        tagged = tuple(model for model in here.models if _tag(model) == step)
        if tagged and len(here.models) > 1:
            found[-1] = Section(here.key, tagged)
            continue
        fields = [model.model_fields[str(step)] for model in here.models if step in model.model_fields]
        if fields:
            named = any(get_origin(field.annotation) is dict for field in fields)
            below = tuple(model for field in fields for model in _models_in(field.annotation))
            found.append(Section(str(step), below))
    return found


def home_of(key: str, sections: list[Section]) -> str | None:
    """Returns the place of a job file to which a key belongs that its section does not have; None if none is known."""
    *above, here = sections
    valid = here.keys
    if sections[0].models != (Job,) or usual_name(key) in valid:
        return None
    if _is_like(key, valid, _MISSPELT):
        return None
    for section in reversed(above):
        if key in section.keys:
            return _name_of(section)
    parts = sorted({part.key for part in here.parts() if key in part.keys})
    if 0 < len(parts) <= _FEW and not _is_like(key, valid, _ALIKE):
        return " or ".join(f"`{part}`" for part in parts)
    if parts or here.key != "tasks":
        return None
    kinds = [kind for kind in kind_names() if key in Section("", (load_kind(kind).schema,)).keys]
    return f"tasks of kind {' or '.join(kinds)}" if kinds else None


def _is_like(key: str, valid: Iterable[str], likeness: float) -> bool:
    return bool(difflib.get_close_matches(key.lower(), [each.lower() for each in valid], n=1, cutoff=likeness))


def _name_of(section: Section) -> str:
    return {"": "the job, beside `tasks`", "tasks": "the task"}.get(section.key, f"`{section.key}`")


def holds(value: Any, step: int | str) -> bool:
    """Tells whether a value of a file has something at a step of a path."""
    if isinstance(value, dict):
        return step in value
    return isinstance(value, list | tuple) and isinstance(step, int) and step < len(value)


def _schema_of(model: type[BaseModel], value: Any) -> type[BaseModel]:
    """Returns the schema of a value: for a task, the one of its kind."""
    kind = value.get("kind") if model is TaskBase and isinstance(value, dict) else None
    schema: type[BaseModel] = load_kind(kind).schema if isinstance(kind, str) and is_kind(kind) else model
    return schema


def _tag(model: type[BaseModel]) -> Any:
    field = model.model_fields.get("name")
    return field.default if field else None


def _models_in(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for argument in get_args(annotation) for model in _models_in(argument)]
