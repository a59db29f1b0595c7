"""Lookup of a run by directory, name, job or ``latest``."""

from __future__ import annotations

import os
from collections import Counter
from typing import TYPE_CHECKING

from hpcmtl.errors import EnvironmentUnfitError, InputError, Problem, nearest, no_permission
from hpcmtl.results.rundir.directory import RunDirectory
from hpcmtl.results.rundir.sweep import read_sweep

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

LATEST = "latest"
_exists = os.path.exists  # not Path.exists, which raises for a directory of another user without permission
_STAMP = f"{'[0-9]' * 8}-{'[0-9]' * 6}*"


def find_run(name: Path, runs: Path) -> RunDirectory:
    """Returns the run for a directory, the name of one under `runs`, the name of a job, or ``latest``.

    Of several runs of a job, or under `runs`, the last planned or submitted one is returned.

    Raises:
        InputError: there is no such run.
        EnvironmentUnfitError: this user may not read it.
    """
    for path in (name, runs / name):
        if path.is_dir() and not os.access(path, os.R_OK | os.X_OK):
            raise EnvironmentUnfitError(no_permission(path))
        sweep = read_sweep(path)
        if sweep is not None:
            point = path / next(iter(sweep.points), "000")
            message = f"this is a sweep of {len(sweep.points)} runs: name one of them, such as {point}"
            raise InputError([Problem(str(name), message)])
        if _is_run(RunDirectory(path)):
            return RunDirectory(path)
    if name.name == str(name) and runs.is_dir():
        there = [RunDirectory(path) for path in runs.glob("*" if str(name) == LATEST else f"{name}-{_STAMP}")]
        found = [(at, run.path.name, run) for run in there if (at := begun(run))]
        if found:
            return max(found, key=lambda each: each[:2])[2]
    known = [path.name for path in runs.iterdir() if begun(RunDirectory(path))] if runs.is_dir() else []
    if not known and not name.is_dir() and name.name == str(name):
        message = f"no runs in {runs}/ (looked in {runs.absolute()}); name another folder with --runs"
        raise InputError([Problem(str(name), message)])
    what = "this is no run directory" if name.is_dir() else "there is no such run directory"
    message = f"{what}, and no run of that name in {runs}/{nearest(str(name), known)}"
    raise InputError([Problem(str(name), f"{message}; give a run directory, a job's name or {LATEST}")])


def _is_run(run: RunDirectory) -> bool:
    return any(map(_exists, (run.job_file, run.plan_file, run.ledger_file, run.submission_file)))


def told_apart(runs: Iterable[tuple[str, RunDirectory]]) -> dict[str, RunDirectory]:
    """Returns runs by name, each once; those of one name in several folders by their paths."""
    found = {run.path.resolve(): (name, run) for name, run in runs}
    counts = Counter(name for name, _ in found.values())
    return {name if counts[name] == 1 else str(run.path): run for name, run in found.values()}


def begun(run: RunDirectory) -> int:
    """Returns the time at which a run was planned or submitted, in nanoseconds since 1970; 0 for what is no run."""
    for file in (run.plan_file, *([run.submission_file] if _exists(run.job_file) else [])):  # else it is a sweep's
        try:
            return file.stat().st_mtime_ns
        except OSError:
            continue
    return 0
