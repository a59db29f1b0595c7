"""Sweeps: directories of runs that `hpcmtl submit` has made together, and the lookup of one."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hpcmtl.results.rundir.directory import RunDirectory

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True)
class Sweep:
    """A directory of runs that were submitted together.

    Attributes:
        path: the directory.
        kind: array (a job array, one run for each element) or benchmark (one job, one run after another).
        points: its runs by name.
        jobs: IDs of its batch jobs.
        script: path of its batch script; empty if unknown.
    """

    path: Path
    kind: str
    points: dict[str, RunDirectory]
    jobs: tuple[str, ...]
    script: str


def read_sweep(path: Path) -> Sweep | None:
    """Returns the sweep in a directory; None if it is none, or cannot be read."""
    run = RunDirectory(path)
    if os.path.exists(run.job_file):  # noqa: PTH110 - Path.exists raises for a directory of another user
        return None
    values = _read(run)
    names = values.get("points")
    if values.get("kind") not in {"array", "benchmark"} or not isinstance(names, dict):
        return None
    points = {name: RunDirectory(path / name) for name in names if _is_name(name)}
    jobs = tuple(str(job) for job in values.get("jobs") or ())
    return Sweep(path, str(values["kind"]), points, jobs, str(values.get("script") or ""))


def _is_name(text: str) -> bool:
    return text not in {"", ".", ".."} and "/" not in text


def find_sweep(name: Path, runs: Path) -> Sweep | None:
    """Returns the sweep for its directory, the name of that under `runs`, or the ID of one of its arrays; else None."""
    for path in (name, runs / name):
        sweep = read_sweep(path)
        if sweep is not None:
            return sweep
    if not str(name).isdigit() or not runs.is_dir():
        return None
    found = [sweep for path in sorted(runs.iterdir()) if (sweep := read_sweep(path)) and str(name) in sweep.jobs]
    return found[-1] if found else None  # Slurm's numbers begin again after some millions


def _read(run: RunDirectory) -> dict[str, Any]:
    try:
        values = json.loads(run.submission_file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return values if isinstance(values, dict) else {}
