"""Composition of a job file with the file that it extends (`extends: base.yaml`)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hpcmtl.errors import InputError, Problem
from hpcmtl.jobfile.read import AmbiguousValuesError, read_values

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from hpcmtl.jobfile.read import Place

EXTENDS = "extends"
_ABSENT = object()


@dataclass(frozen=True)
class JobValues:
    """Holds the values of a job file, those of its base included.

    Attributes:
        values: values, without `extends`.
        places: place of every key.
        problems: values that are not the same in all versions of YAML.
    """

    values: Mapping[str, Any]
    places: Mapping[tuple[str, ...], Place]
    problems: tuple[Problem, ...] = ()


def read_job(file: Path) -> JobValues:
    """Returns the values of a job file, merged into those of the file that it extends.

    Mappings are merged key by key, at every depth. Any other value replaces that of the base, lists included; null
    removes the key. Paths under `data` and `modules` of the base are relative to the base.

    Raises:
        InputError: a file cannot be read, or the base extends a file itself.
    """
    own = _values(file)
    name = own.values.get(EXTENDS)
    if name is None:
        return own
    where, line = f"{file}: {EXTENDS}", own.places[EXTENDS,].line
    if not isinstance(name, str):
        raise InputError([Problem(where, f"found {name!r}; write the path of one job file", line)])
    base_file = file.parent / name
    base = _values(base_file)
    if EXTENDS in base.values:
        text = f"{base_file} extends a file itself, and a job file extends one file; write the values of both into one"
        raise InputError([Problem(where, text, line)])
    below = base.values if _same_folder(file, base_file) else _replaced_paths(base.values, base_file.parent)
    values = _merged(below, {key: value for key, value in own.values.items() if key != EXTENDS})
    return JobValues(values, {**base.places, **own.places}, (*base.problems, *own.problems))


def _values(file: Path) -> JobValues:
    try:
        return JobValues(*read_values(file))
    except AmbiguousValuesError as error:
        return JobValues(error.values, error.places, error.problems)


def _same_folder(one: Path, other: Path) -> bool:
    return one.resolve().parent == other.resolve().parent


def _replaced_paths(values: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """Returns the values of a base with absolute paths of data and modules."""
    data, modules = values.get("data"), values.get("modules", ["."])
    replaced = dict(values)
    if isinstance(data, dict):
        replaced["data"] = {name: _absolute(path, folder) for name, path in data.items()}
    if isinstance(modules, list):  # the modules of both files are found
        replaced["modules"] = [".", *(_absolute(path, folder) for path in modules)]
    return replaced


def _absolute(path: Any, folder: Path) -> Any:
    return str((folder / path).resolve()) if isinstance(path, str) else path


def _merged(base: Any, over: Any) -> Any:
    """Returns a value of the base with the values of the other file in it."""
    if not isinstance(base, dict) or not isinstance(over, dict):
        return over
    both = {key: _merged(base[key], over.get(key, base[key])) for key in base if over.get(key, _ABSENT) is not None}
    return both | {key: value for key, value in over.items() if key not in base}
