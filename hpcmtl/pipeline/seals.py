"""Checks the sealed files of a run: every value of artifacts and checkpoints is compared with its checksum."""

from __future__ import annotations

from typing import TYPE_CHECKING

import h5py

from hpcmtl.data.hdf5 import describe
from hpcmtl.data.values import check_intact
from hpcmtl.errors import EnvironmentUnfitError, HpcmtlError, InputError
from hpcmtl.exchange.store import read_sealed
from hpcmtl.jobfile.kinds import kind_of
from hpcmtl.training.session import artifact_file

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from hpcmtl.pipeline.prepare import Prepared
    from hpcmtl.results.rundir.directory import RunDirectory


def damage_of(file: Path) -> str:
    """Reads an artifact or a checkpoint whole; returns what is wrong with it, an empty text if nothing is.

    Raises:
        EnvironmentUnfitError: it cannot be read now, for a reason that is not in the file.
    """
    if file.exists() and not file.is_file():  # a pipe would wait for a writer
        return "is no regular file"
    try:
        if is_sealed_store(file):
            read_sealed(file)
        else:
            check_intact(file, describe(file).datasets)
    except InputError as error:
        return error.in_one_line
    except EnvironmentUnfitError:
        raise
    except HpcmtlError as error:
        return str(error)
    return ""


def is_sealed_store(file: Path) -> bool:
    """Returns true for a file of `exchange.store`, false for a data file and for anything else."""
    try:
        with h5py.File(file, "r", locking=False) as opened:
            return "hpcmtl_sealed" in opened.attrs
    except (OSError, RuntimeError, KeyError):
        return False  # the reader of data files says what is wrong


def publishes(prepared: Prepared, task: str) -> bool:
    """Returns true if a task leaves an artifact when it is complete."""
    kind = kind_of(prepared.job, task)
    return kind.facts.has_parameters or bool(kind.published_arrays(prepared.job, task, prepared.arrays))


def damaged_artifacts(directory: RunDirectory, prepared: Prepared, tasks: Iterable[str]) -> dict[str, str]:
    """Returns the tasks among complete ones whose artifacts are missing or damaged, each with the reason.

    Every value is read: a later task, or the user, may need an artifact that no task of this attempt reads.
    """
    found = {}
    for task in tasks:
        if task in prepared.job.tasks and publishes(prepared, task):
            damage = damage_of(artifact_file(directory, task))
            if damage:
                found[task] = damage
    return found
