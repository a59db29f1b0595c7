"""Turns ``from: {run: RUN, task: TASK}`` of trunks and heads into tasks of their own, before a job is validated."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

_FROM = "from"


def with_earlier_runs(raw: Any) -> Any:
    """Returns the values of a job in which each origin in an earlier run is a task of kind ``pretrained``.

    Trunk and heads of a task that name the same run and task share one such task, under its `needs`.
    """
    tasks = raw.get("tasks") if isinstance(raw, Mapping) else None
    if not isinstance(tasks, Mapping) or not any(True for task in tasks.values() for _ in _origins(task)):
        return raw
    made: dict[str, Any] = {}
    for name, task in tasks.items():
        added: dict[str, Any] = {}
        for origin in _origins(task):
            given = {"kind": "pretrained", "task": name, **origin}
            if given not in added.values():
                added[_free_name(f"{name}.from.{given['task']}", {*tasks, *made, *added})] = given
        made |= {**added, name: _with_names(task, name, added) if added else task}
    return {**raw, "tasks": made}


def _parts(task: Any) -> Iterator[Any]:
    """Yields the trunk and the heads of a task."""
    if isinstance(task, Mapping):
        yield task.get("trunk")
        heads = task.get("heads")
        yield from heads.values() if isinstance(heads, Mapping) else ()


def _origins(task: Any) -> Iterator[Mapping[str, Any]]:
    for part in _parts(task):
        if isinstance(part, Mapping) and isinstance(part.get(_FROM), Mapping):
            yield part[_FROM]


def _free_name(name: str, taken: set[str]) -> str:
    return name if name not in taken else _free_name(f"{name}.2", taken)


def _with_names(task: Mapping[str, Any], name: str, added: Mapping[str, Any]) -> dict[str, Any]:
    """Returns a task that names the added tasks in place of what they were made from, and needs them."""

    def named(part: Any) -> Any:
        if not isinstance(part, Mapping) or not isinstance(part.get(_FROM), Mapping):
            return part
        given = {"kind": "pretrained", "task": name, **part[_FROM]}
        return {**part, _FROM: next(each for each, value in added.items() if value == given)}

    changed = dict(task)
    if "trunk" in task:
        changed["trunk"] = named(task["trunk"])
    if isinstance(task.get("heads"), Mapping):
        changed["heads"] = {key: named(head) for key, head in task["heads"].items()}
    needs = task.get("needs") or {}
    needs = dict.fromkeys(needs, "order") if isinstance(needs, list | tuple) else needs
    if isinstance(needs, Mapping):  # else the schema refuses it
        changed["needs"] = {**needs, **dict.fromkeys(added, "parameters")}
    return changed
