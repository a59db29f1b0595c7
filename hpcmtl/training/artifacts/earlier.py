"""Finds the parameters artifact of a task of an earlier run, and its description."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from hpcmtl.errors import InputError, Problem, nearest
from hpcmtl.exchange.store import DamagedFileError, read_sealed
from hpcmtl.results.rundir.directory import RunDirectory
from hpcmtl.training.artifacts.description import FACT, description_from_json
from hpcmtl.training.session import artifact_file

if TYPE_CHECKING:
    from hpcmtl.training.artifacts.description import ArtifactDescription

_NO_ARRAY = "none/"


def earlier_artifact(run: str, task: str) -> Path:
    """Returns the file of the artifact of a task.

    Args:
        run: path of a run directory, or of the artifact itself.
        task: name of the task.

    Raises:
        InputError: there is no such file.
    """
    path = Path(run)
    if path.is_file():
        return path
    if not path.is_dir():
        raise InputError([Problem("run", f"there is no {path}; name a run directory, or an artifact in one")])
    file = artifact_file(RunDirectory(path), task)
    if not file.is_file():
        there = sorted(each.stem for each in file.parent.glob("*.h5"))
        hint = nearest(task, there) if there else "; the run has published nothing yet"
        raise InputError([Problem("task", f"{path} has no artifact of {task!r}{hint}")])
    return file


def earlier_description(run: str, task: str) -> ArtifactDescription:
    """Returns the description of the network whose parameters an artifact holds.

    Raises:
        InputError: there is no such artifact, it is damaged, or it holds no parameters with a description.
    """
    file = earlier_artifact(run, task)
    stamp = file.stat()
    return _description(file, (stamp.st_mtime_ns, stamp.st_size))


@lru_cache(maxsize=64)
def _description(file: Path, stamp: tuple[int, int]) -> ArtifactDescription:  # noqa: ARG001 - it tells files apart
    try:
        _, facts = read_sealed(file, _NO_ARRAY)
    except DamagedFileError as error:
        text = f"{error}; if it is an artifact of arrays, name it under `data`"
        raise InputError([Problem("run", text)]) from error
    if FACT not in facts:
        text = "has no description of its network: it was written by an earlier version of hpcmtl"
        raise InputError([Problem("run", f"{file} {text}; train it again")])
    try:
        found = description_from_json(facts[FACT])
    except ValueError as error:
        raise InputError([Problem("run", f"{file}: {error}")]) from error
    if found.network is None or not found.inputs:
        raise InputError([Problem("run", f"{file} is of a {found.kind} task, and holds no parameters of a network")])
    return found
