"""Removal of files that no attempt of a run needs any more."""

from __future__ import annotations

import re
import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hpcmtl.errors import InputError, Problem
from hpcmtl.pipeline.live.watch import diagnose_run
from hpcmtl.pipeline.seals import damage_of
from hpcmtl.results.ledger import is_held
from hpcmtl.results.outcome.record import record_of
from hpcmtl.results.run_state import read_run_state
from hpcmtl.results.rundir.directory import RunDirectory
from hpcmtl.results.rundir.leftovers import orphans
from hpcmtl.results.rundir.sweep import read_sweep
from hpcmtl.training.session import artifact_file

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


_CHECKPOINT = re.compile(r"(step|layer)-.*|\..*\.partial|.*\.damaged", re.ASCII)


@dataclass(frozen=True)
class Removable:
    """A file or folder that no attempt needs.

    Attributes:
        path: the file or folder.
        reason: reason why it is not needed.
        files: number of files and folders in it, itself included.
        bytes: their size.
    """

    path: Path
    reason: str
    files: int
    bytes: int


def runs_in(directory: Path) -> list[RunDirectory]:
    """Returns the runs in a directory: itself, the points of a sweep, or all runs and sweeps below it.

    Raises:
        InputError: there is no run.
    """
    found = list(_runs(directory))
    if not found and directory.is_dir():
        folders = [path for path in sorted(directory.iterdir()) if path.is_dir() and not path.is_symlink()]
        found = [run for path in folders for run in _runs(path)]
    if not found:
        raise InputError([Problem(str(directory), "there is no run directory, and no directory of runs, here")])
    return found


def _runs(path: Path) -> Iterator[RunDirectory]:
    sweep = read_sweep(path)
    if sweep is not None:
        yield from sweep.points.values()
    elif RunDirectory(path).job_file.is_file():
        yield RunDirectory(path)


def removable(run: RunDirectory) -> Iterator[Removable]:
    """Yields what no attempt of a run needs: nothing while one may be alive, checkpoints only if the run is complete.

    Locks of a file system may hold within one host only, so that the state of the run counts as well: it is over for
    sure by its record, by its heartbeats, or by Slurm.

    Raises:
        InputError: the ledger is damaged.
        OSError: this user may not read or write it.
    """
    found = diagnose_run(run.path)
    if is_held(run.ledger_file) or is_held(run.claim_file) or not (found["over"] and found["sure"]):
        return
    record = record_of(run, read_run_state(run.ledger_file).attempt)
    complete = record is not None and record["status"] == "complete"
    for file in orphans(run):
        yield _removable(file, "half-written by a process that was killed")
    for folder in _checkpoints(run):
        if complete and not damage_of(artifact_file(run, folder.name.partition("~")[0])):
            yield _removable(folder, "checkpoints of a complete run")
        else:  # those of a task whose artifact is missing or damaged can make it again
            for file in sorted(folder.glob("*.damaged")):
                yield _removable(file, "a damaged checkpoint")


def _checkpoints(run: RunDirectory) -> list[Path]:
    """Returns the folders of checkpoints, and none that lies elsewhere or holds files of a user."""
    if run.checkpoints.is_symlink() or not run.checkpoints.is_dir():
        return []
    folders = [each for each in sorted(run.checkpoints.iterdir()) if each.is_dir() and not each.is_symlink()]
    return [each for each in folders if all(_CHECKPOINT.fullmatch(file.name) for file in each.iterdir())]


def remove(found: Removable) -> None:
    """Removes a file, or a folder with all that is in it."""
    if found.path.is_dir() and not found.path.is_symlink():
        shutil.rmtree(found.path)
    else:
        found.path.unlink(missing_ok=True)


def _removable(path: Path, reason: str) -> Removable:
    inside = [path, *path.rglob("*")] if path.is_dir() else [path]
    return Removable(path, reason, len(inside), sum(each.lstat().st_size for each in inside if not each.is_dir()))
