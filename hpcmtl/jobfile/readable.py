"""The values of a job that can be read although the schema refuses others, so that one round of checks finds more."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hpcmtl.errors import close_to
from hpcmtl.jobfile.kind_registry import is_kind, load_kind
from hpcmtl.jobfile.soundness import is_aside

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from hpcmtl.jobfile.findings import Finding

_NEEDED = {"epochs": 1}
"""Keys beside the network that a task must have, with a value that no check complains of."""
_MANY_RANKS = 4096
"""Ranks of a job whose number cannot be read: no task asks for more."""
_HIDES_OTHERS = frozenset({"freeze"})  # without it, an async edge would look wrong


def readable_parts(raw: Any, found: Sequence[Finding]) -> Iterator[tuple[dict[str, Any], dict[str, tuple[str, ...]]]]:
    """Yields what is left of a job without the values that the schema refuses, the larger part first.

    A key beside networks and arrays is left out alone, and other keys together with their tasks.

    Args:
        raw: values of the job.
        found: findings of the schema.

    Yields:
        The values that are left; the tasks left out with their needs, and the data left out.
    """
    if not isinstance(raw, dict) or not isinstance(raw.get("tasks"), dict) or (("data",) in {p for p, _ in found}):
        return
    blamed = {path[1] for path, _ in found if len(path) > 1 and path[0] == "tasks"} & raw["tasks"].keys()
    paths = {name: [path[2:] for path, _ in found if path[:2] == ("tasks", name)] for name in blamed}
    mended = {name: _without(raw["tasks"][name], paths[name]) for name in blamed}
    kept = {name: task for name, task in mended.items() if task is not None}
    data = {path[1] for path, _ in found if len(path) > 1 and path[0] == "data"}
    sections = {path[0] for path, _ in found if path and path[0] not in {"tasks", "data"}}
    rest = {"job": "job", **{key: value for key, value in raw.items() if key not in sections}}
    if "ranks" in sections:
        rest["ranks"] = _MANY_RANKS
    if "defaults" in sections and isinstance(raw["defaults"], dict):
        wrong = {path[1] for path, _ in found if path[0] == "defaults" and len(path) > 1}
        rest["defaults"] = {key: value for key, value in raw["defaults"].items() if key not in wrong}
    if data:
        rest["data"] = {name: file for name, file in raw["data"].items() if name not in data}
    for mending in (kept, {}) if kept else ({},):
        lost = blamed - mending.keys()
        tasks = {name: mending.get(name, task) for name, task in raw["tasks"].items() if name not in lost}
        unread = {name: _needs_of(raw["tasks"][name]) for name in lost}
        yield {**rest, "tasks": tasks}, {**unread, **dict.fromkeys(data, ())}


def _needs_of(task: Any) -> tuple[str, ...]:
    needs = task.get("needs") if isinstance(task, dict) else None
    return tuple(map(str, needs)) if isinstance(needs, dict | list) else ()


def _without(task: Any, paths: Sequence[tuple[str, ...]]) -> dict[str, Any] | None:
    """Returns a task without some of its keys; None if one of them concerns its network or its arrays."""
    if not isinstance(task, dict) or not all(path and _can_be_left_out(task, path) for path in paths):
        return None
    keys = {path[0] for path in paths if path[0] != "heads"}
    left = {key: value for key, value in task.items() if key not in keys}
    left.update({key: value for key, value in _NEEDED.items() if key in keys})
    if any(path[0] == "heads" for path in paths):
        inside = {(path[1], path[2]) for path in paths if path[0] == "heads"}
        left["heads"] = {
            name: {key: value for key, value in head.items() if (name, key) not in inside}
            for name, head in task["heads"].items()
        }
    return left


def _can_be_left_out(task: Mapping[str, Any], path: tuple[str, ...]) -> bool:
    if path[0] in _HIDES_OTHERS or path == ("kind",):
        return False
    if is_aside(path):
        return True
    kind = task.get("kind")
    if len(path) != 1 or not isinstance(kind, str) or not is_kind(kind):
        return False
    fields = load_kind(kind).schema.model_fields
    known = {field.alias or name for name, field in fields.items()}
    close = close_to(path[0], known)
    return path[0] in task and path[0] not in known and (close is None or is_aside((close,)))
