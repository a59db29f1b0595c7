"""Makes the checks that cost too much for `validate`: reads data once, builds networks, imports users' callables.

As a program of its own (``python -m hpcmtl.pipeline.run.preflight JOB TASK...``) it checks some tasks of a job file
beside a running job. Users' code, the memory of the networks and the random numbers that they draw must not disturb the
process of that job. It prints the problems as JSON.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from hpcmtl.data.hdf5 import check_finite
from hpcmtl.errors import EnvironmentUnfitError, InputError, Problem, located
from hpcmtl.jobfile.frameworks import tasks_by_framework
from hpcmtl.jobfile.kinds import kind_of
from hpcmtl.jobfile.references import references_of
from hpcmtl.jobfile.resolve import resolve
from hpcmtl.pipeline.prepare import prepare
from hpcmtl.training.frameworks import open_framework

if TYPE_CHECKING:
    from collections.abc import Collection

    from hpcmtl.pipeline.prepare import Prepared

SECONDS = 600.0
"""Seconds after which the checks of a subprocess are given up."""
_MPI = ("OMPI_", "PMIX_", "PRTE_", "PMI_", "HYDRA_")  # variables by which a program takes itself for a rank


def preflight(prepared: Prepared, tasks: Collection[str]) -> None:
    """Read all data of some tasks once, import all callables, and build every network of the job.

    Raises:
        InputError: all problems at once.
        EnvironmentUnfitError: a framework cannot be imported.
    """
    problems: list[Problem] = []
    used: dict[Path, set[str]] = {}
    for name in tasks:
        for _, reference in references_of(prepared.job, name):
            origin, dataset = reference.split("/", 1)
            if origin in prepared.files:
                used.setdefault(prepared.files[origin], set()).add(dataset)
    for path, names in used.items():
        try:
            check_finite(path, sorted(names))
        except InputError as error:
            problems += error.problems
    for name in prepared.job.tasks:
        for callable_name in kind_of(prepared.job, name).framework_needs(prepared.job, name, prepared.arrays).callables:
            with located(f"tasks.{name}", problems):
                resolve(callable_name)
    for framework, own in tasks_by_framework(prepared.job).items():
        problems += open_framework(framework).problems_with(prepared.job, prepared.arrays, own)
    if problems:
        raise InputError(problems)


def preflight_subprocess(job_file: Path, folders: Collection[str], tasks: Collection[str]) -> None:
    """Check some tasks of a job file in a process of its own.

    Args:
        job_file: file of the whole job.
        folders: folders of users' modules.
        tasks: names of the new tasks.

    Raises:
        InputError: all problems at once.
        EnvironmentUnfitError: the process failed, or took longer than `SECONDS`.
    """
    environ = {key: value for key, value in os.environ.items() if not key.startswith(_MPI)}
    environ["PYTHONPATH"] = os.pathsep.join([*folders, *filter(None, sys.path)])
    command = [sys.executable, "-m", "hpcmtl.pipeline.run.preflight", str(job_file), *tasks]
    try:
        done = subprocess.run(  # noqa: S603 - ourselves
            command, env=environ, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=SECONDS, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise EnvironmentUnfitError(f"the examination of {', '.join(tasks)} took over {SECONDS:g} s") from error
    if done.returncode != 0:
        last = "\n".join(done.stderr.strip().splitlines()[-3:])
        raise EnvironmentUnfitError(f"the examination of {', '.join(tasks)} failed: {last}")
    problems = json.loads(done.stdout.strip().splitlines()[-1])
    if problems:
        raise InputError(Problem(**problem) for problem in problems)


def main() -> None:
    """Check, and print a list of problems."""
    job_file, *tasks = sys.argv[1:]
    problems: list[Problem] = []
    try:
        preflight(prepare(Path(job_file)), tasks)
    except InputError as error:
        problems = list(error.problems)
    print(json.dumps([asdict(problem) for problem in problems]))  # noqa: T201 - read by `preflight_subprocess`


if __name__ == "__main__":
    main()
