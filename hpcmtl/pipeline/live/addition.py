"""Files of tasks that are added to a running job: `tasks` and `data` in the form of the job file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hpcmtl.errors import InputError
from hpcmtl.jobfile.load import locate
from hpcmtl.jobfile.read import read_values
from hpcmtl.pipeline.prepare import RawJob

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from hpcmtl.jobfile.findings import Finding
    from hpcmtl.jobfile.read import Place, Places

KEYS = ("tasks", "data")


def read_addition(file: Path) -> tuple[dict[str, Any], Places]:
    """Reads a file of tasks.

    Returns:
        The values of an ``add`` request (`file` and `folder`, `tasks`, and `data` with absolute paths), and the place
        of each key.

    Raises:
        InputError: the file cannot be read, or is no mapping of `tasks` and optionally `data`.
    """
    raw, places = read_values(file)
    found = list(_misshapen(raw))
    if found:
        raise InputError(locate(found, str(file), places))
    folder = file.resolve().parent
    data = {str(name): str((folder / str(path)).resolve()) for name, path in (raw.get("data") or {}).items()}
    return {"file": str(file), "folder": str(folder), "tasks": raw["tasks"], "data": data}, places


def joined(
    job: Mapping[str, Any], values: Mapping[str, Any], places: Mapping[tuple[str, ...], Place] | None = None
) -> RawJob:
    """Returns a job with more tasks.

    Args:
        job: the job, as `Prepared.resolved` returns it.
        values: the added tasks and data, as `read_addition` returns them.
        places: place of each key in the file.

    Raises:
        InputError: a name exists in the job already, or an added task has an async edge.
    """
    text = "the job has a task of this name; a new task needs another"
    found: list[Finding] = [(("tasks", name), text) for name in values["tasks"] if name in job["tasks"]]
    for name, path in values["data"].items():
        if job.get("data", {}).get(name, path) != path:
            text = f"the job has other data of this name ({job['data'][name]}); new data need another"
            found.append((("data", name), text))
    found += _async_edges(values["tasks"])
    if found:
        raise InputError(locate(found, values["file"], places))
    both = {key: {**job.get(key, {}), **values[key]} for key in KEYS}
    modules = list(dict.fromkeys([*job.get("modules", ()), values["folder"]]))
    return RawJob({**job, **both, "modules": modules}, values["file"], places or {})


def _async_edges(tasks: Mapping[str, Any]) -> Iterator[Finding]:
    """Yields async edges: the channels of the parameter server are fixed when a job starts."""
    for name, task in tasks.items():
        needs = task.get("needs") if isinstance(task, dict) else None
        for producer, need in needs.items() if isinstance(needs, dict) else ():
            if isinstance(need, dict) and need.get("mode") == "async":
                text = "a task that is added cannot have async edges; leave `mode` out, and it waits for the other task"
                yield ("tasks", str(name), "needs", str(producer)), text


def _misshapen(raw: Any) -> Iterator[Finding]:
    if not isinstance(raw, dict):
        yield (), "a file of tasks is a mapping with `tasks` and, for new data, `data`"
        return
    for key in raw:
        if key not in KEYS:
            yield (str(key),), "a file of tasks has `tasks` and `data` alone: all else is as the job has it"
    if not isinstance(raw.get("tasks"), dict) or not raw["tasks"]:
        yield ("tasks",), "must be a mapping of at least one task"
    if not isinstance(raw.get("data") or {}, dict):
        yield ("data",), "must be a mapping of names and HDF5 files"
