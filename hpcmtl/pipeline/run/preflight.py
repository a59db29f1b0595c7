"""What costs too much for `validate`: read data once, and build networks.

As a program of its own (``python -m hpcmtl.pipeline.run.preflight JOB TASK...``) it examines some tasks of a job file
beside a running job, whose process must not be troubled by users' code, by the memory that networks take, or by random
numbers that they draw. It prints what is wrong as JSON.
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
from hpcmtl.errors import EnvironmentUnfitError, InputError, Problem
from hpcmtl.jobfile.references import references_of
from hpcmtl.pipeline.prepare import prepare

if TYPE_CHECKING:
    from collections.abc import Collection

    from hpcmtl.pipeline.prepare import Prepared
    from hpcmtl.training.learner import Framework

SECONDS = 600.0  # after which an examination is given up
_MPI = ("OMPI_", "PMIX_", "PRTE_", "PMI_", "HYDRA_")  # by which a program takes itself for a rank


def preflight(prepared: Prepared, framework: Framework, tasks: Collection[str]) -> None:
    """Read all data of some tasks once, and build every network.

    Raises:
        InputError: everything that is wrong.
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
    problems += framework.problems_with(prepared.job, prepared.arrays)
    if problems:
        raise InputError(problems)


def preflight_subprocess(job_file: Path, folders: Collection[str], tasks: Collection[str]) -> None:
    """Examine some tasks of a job file in a process of its own.

    Args:
        job_file: the whole job.
        folders: where users' modules may lie.
        tasks: names of the tasks that are new.

    Raises:
        InputError: everything that is wrong.
        EnvironmentUnfitError: the process failed.
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
    """Examine, and print a list of problems."""
    from hpcmtl.training.gluon.framework import GluonFramework

    job_file, *tasks = sys.argv[1:]
    problems: list[Problem] = []
    try:
        preflight(prepare(Path(job_file)), GluonFramework(), tasks)
    except InputError as error:
        problems = list(error.problems)
    print(json.dumps([asdict(problem) for problem in problems]))  # noqa: T201 - read by `preflight_subprocess`


if __name__ == "__main__":
    main()
