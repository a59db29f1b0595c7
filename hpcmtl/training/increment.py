"""Incremental training: what an earlier run had, compared with the data of today."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from hpcmtl.data.fingerprint import read_fingerprints
from hpcmtl.data.growth import rows_before
from hpcmtl.errors import InputError, Problem
from hpcmtl.exchange.store import PARAMETERS, DamagedFileError, read_sealed
from hpcmtl.jobfile.references import references_of
from hpcmtl.results.rundir.directory import RunDirectory
from hpcmtl.training.session import artifact_file

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hpcmtl.arrays import Ints
    from hpcmtl.jobfile.schema import Job
    from hpcmtl.networks.shapes import Shape


@dataclass(frozen=True)
class EarlierTraining:
    """The training that a task goes on from.

    Attributes:
        artifact: file of its parameters.
        rows: number of the first rows of today's data that it had.
    """

    artifact: Path
    rows: int


def earlier_training(job: Job, name: str, new_since: str, files: Mapping[str, Path]) -> EarlierTraining:
    """Finds the training that a task goes on from, and compares its rows with those of today.

    Args:
        job: a sound job.
        name: name of the task.
        new_since: path of a run directory, or of an artifact in one.
        files: data name -> file.

    Raises:
        InputError: there is no such run or artifact, or the rows that it had are no longer the first ones.
    """
    where = f"tasks.{name}.increment.new_since"
    artifact, run = _artifact_and_run(Path(new_since), name, where)
    used: dict[str, set[str]] = {}
    for _, reference in references_of(job, name):
        origin, dataset = reference.split("/", 1)
        if origin not in files:
            text = f"{reference} is made by a task, and new rows are told by those of a data file; seal it, and name it"
            raise InputError([Problem(where, f"{text} under `data`")])
        used.setdefault(origin, set()).add(dataset)
    known = read_fingerprints(run.data_file).values()
    counts = {files[origin]: rows_before(files[origin], datasets, known) for origin, datasets in used.items()}
    found = {count for count in counts.values() if count is not None}
    if None in counts.values():
        text = "add new rows behind the old ones, and leave these, their split, scale and classes as they were"
        raise InputError(
            Problem(where, f"{file}: no file of {run.path} had its first rows, with their split; {text}")
            for file, count in counts.items()
            if count is None
        )
    if len(found) > 1:
        listed = ", ".join(f"{count} in {file}" for file, count in counts.items())
        raise InputError([Problem(where, f"the rows that {run.path} had differ in number: {listed}")])
    return EarlierTraining(artifact, found.pop())


def _artifact_and_run(path: Path, name: str, where: str) -> tuple[Path, RunDirectory]:
    """Returns the artifact of a task's earlier training, and the run that it belongs to.

    Raises:
        InputError: there is none, or the run has no record of its data.
    """
    artifact = path if path.is_file() else artifact_file(RunDirectory(path), name)
    run = RunDirectory(artifact.parent.parent)
    if not artifact.is_file():
        there = sorted(each.stem for each in run.artifacts.glob("*.h5")) if run.artifacts.is_dir() else []
        hint = f"; it has {', '.join(there)}: name the file of one of them" if there else "; name a run directory"
        raise InputError([Problem(where, f"{path} has no parameters of {name}: there is no {artifact}{hint}")])
    if not run.data_file.is_file():
        text = f"{run.path} has no record of its data ({run.data_file.name}), by which new rows are told"
        raise InputError([Problem(where, f"{text}; name the run that {artifact.name} belongs to")])
    return artifact, run


def members_of(earlier: EarlierTraining, train: Ints, place: str, *, replays: bool) -> tuple[Ints, Ints]:
    """Returns the places in the train split of the new rows, and of those of the earlier training.

    Args:
        earlier: the earlier training.
        train: (n,) ascending numbers of the rows in the train split.
        place: key that errors name.
        replays: whether earlier rows are trained on as well.

    Raises:
        InputError: no row is new, or there is no earlier one to replay.
    """
    border = int(np.searchsorted(train, earlier.rows))
    places = np.arange(len(train))
    if border == len(train):
        text = f"no train row is new: the earlier training had the first {earlier.rows} rows, and there is none behind"
        raise InputError([Problem(place, f"{text}; add rows to the data file")])
    if replays and not border:
        raise InputError([Problem(place, "the earlier training had no train row to replay; write `replay: 0`")])
    return places[border:], places[:border]


def require_network(earlier: EarlierTraining, parameters: Mapping[str, Shape]) -> None:
    """Refuses parameters of another network than that of the task.

    Args:
        earlier: the earlier training.
        parameters: name -> shape, of the parameters of the task's network.

    Raises:
        InputError: a parameter is not there, or has another shape.
    """
    try:
        arrays, _ = read_sealed(earlier.artifact, PARAMETERS)
    except DamagedFileError as error:
        raise InputError([Problem(str(earlier.artifact), str(error))]) from error
    known = {name.removeprefix(PARAMETERS): array.shape for name, array in arrays.items()}
    for name, shape in parameters.items():
        if known.get(name) != tuple(shape):
            found = f"has shape {known[name]}" if name in known else "is missing"
            text = f"{earlier.artifact} is of another network: its parameter {name} {found}, here it has {tuple(shape)}"
            raise InputError([Problem("", f"{text}; name a training of the same network")])
