"""Opens a run, or runs a job in this process, and gives the same interface to both."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from hpcmtl.client.directory_access import DirectoryAccess
from hpcmtl.client.run import RunHandle
from hpcmtl.results.rundir.directory import RunDirectory
from hpcmtl.results.rundir.find import LATEST, find_run

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping

    from hpcmtl.communicators.base import Communicator
    from hpcmtl.jobfile.schema import Job
    from hpcmtl.pipeline.run.options import RunOptions


def open_run(run: str | os.PathLike[str] = LATEST, runs: str | os.PathLike[str] = "runs") -> RunHandle:
    """Opens a run that is under way, or has ended.

    Args:
        run: run directory, its name under `runs`, name of a job (its newest run), or ``latest``.
        runs: directory of runs that are found by name.

    Raises:
        InputError: there is no such run.
        EnvironmentUnfitError: this user may not read it.
    """
    return RunHandle(DirectoryAccess(RunDirectory(find_run(Path(run), Path(runs)).path.absolute())))


def run_job(
    source: str | Path | Job | Mapping[str, Any], options: RunOptions | None = None, world: Communicator | None = None
) -> RunHandle:
    """Runs a job on all ranks of the world (collective).

    Args:
        source: path of a job file, a job made in code, or a mapping with the keys of a job file.
        options: options of the run, such as its folder; by default those of `hpcmtl.RunOptions`.
        world: communicator of all ranks; MPI's by default.

    Returns:
        The run with its result, on every rank; `run["digit"].metrics` are the metrics of the task `digit`.

    Raises:
        InputError: the job is not sound; on all ranks, before anything is written.
        EnvironmentUnfitError: the world, a framework or an engine is not as required; on all ranks.
        NoSpaceError: the completion record could not be written; on all ranks.
    """
    from hpcmtl.pipeline.run.entry import run

    result = run(source, options, world)
    return RunHandle(DirectoryAccess(RunDirectory(Path(result.directory))), result)
