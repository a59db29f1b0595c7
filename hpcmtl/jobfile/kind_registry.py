"""Registry of task kinds: finds the object of a kind by its name, and imports it when it is first needed.

The job file and the task graph lie below the rooms in which kinds are written, so that they know kinds by name alone.
Installed packages add kinds by an entry point of the group `hpcmtl.task_kinds`; the environment is searched for them
only if a name is not built in, since that costs tens of milliseconds.
"""

from __future__ import annotations

import importlib
from functools import cache
from typing import TYPE_CHECKING, Any

from hpcmtl.entry_points import installed, package_of
from hpcmtl.errors import InputError, Problem, nearest
from hpcmtl.jobfile.tasks import TaskBase

if TYPE_CHECKING:
    from collections.abc import Mapping
    from importlib.metadata import EntryPoint

GROUP = "hpcmtl.task_kinds"
BUILT_IN: Mapping[str, str] = {
    "train": "hpcmtl.training.kinds.train:KIND",
    "joint": "hpcmtl.training.kinds.joint:KIND",
    "extract": "hpcmtl.training.kinds.extract:KIND",
    "predict": "hpcmtl.training.kinds.predict:KIND",
    "evaluate": "hpcmtl.training.kinds.evaluate:KIND",
    "pretrained": "hpcmtl.training.kinds.pretrained:KIND",
    "map_reduce": "hpcmtl.training.kinds.map_reduce:KIND",
    "python": "hpcmtl.training.kinds.python:KIND",
}
_EXPECTED = ("facts", "name", "schema", "session", "work")  # that no kind can go without


def kind_names() -> tuple[str, ...]:
    """Returns the names of all kinds: the built-in ones, then those of installed packages."""
    return (*BUILT_IN, *sorted(installed(GROUP).keys() - BUILT_IN.keys()))


def is_kind(name: str) -> bool:
    """Returns true if there is a kind of this name."""
    return name in BUILT_IN or name in installed(GROUP)


@cache
def load_kind(name: str) -> Any:
    """Imports the object of a kind, a `hpcmtl.jobfile.kinds.TaskKind`; a built-in kind cannot be replaced.

    Raises:
        InputError: there is no kind of this name, or its package does not supply a usable object.
    """
    if name in BUILT_IN:
        module, _, attribute = BUILT_IN[name].partition(":")
        return getattr(importlib.import_module(module), attribute)
    found = installed(GROUP).get(name, ())
    if not found:
        raise InputError([Problem(f"task kind {name!r}", f"is unknown{nearest(name, kind_names())}")])
    if len(found) > 1:
        places = " and ".join(f"{point.value} ({package_of(point)})" for point in found)
        raise _unusable(name, f"is supplied twice, by {places}; uninstall one of the packages")
    return _from_entry_point(found[0])


def _from_entry_point(point: EntryPoint) -> Any:
    try:
        kind = point.load()
    except Exception as error:
        text = f"{point.value} cannot be imported ({type(error).__name__}: {error})"
        raise _unusable(point.name, f"{text}; it is an entry point of {package_of(point)}") from error
    missing = [member for member in _EXPECTED if not hasattr(kind, member)]
    if missing:
        text = f"{point.value} of {package_of(point)} is no task kind: it lacks {', '.join(missing)}"
        raise _unusable(point.name, text)
    schema = kind.schema
    if not (isinstance(schema, type) and issubclass(schema, TaskBase)):
        text = f"{point.value}.schema of {package_of(point)} is {schema!r}; it must be a class derived from TaskBase"
        raise _unusable(point.name, text)
    named = {"name": kind.name, "schema.kind": schema.model_fields["kind"].default}
    for where, value in named.items():
        if value != point.name:
            text = f"{point.value}.{where} is {value!r}, and its entry point in {package_of(point)} is {point.name!r}"
            raise _unusable(point.name, f"{text}; all three must be equal")
    return kind


def _unusable(name: str, message: str) -> InputError:
    return InputError([Problem(f"task kind {name!r}", message)])
