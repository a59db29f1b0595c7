"""Verification of a run directory: its ledger, completion record, artifacts and checkpoints, without a framework."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hpcmtl.errors import InputError
from hpcmtl.jobfile.load import load_job
from hpcmtl.pipeline.prepare import prepare
from hpcmtl.pipeline.seals import damage_of, publishes
from hpcmtl.results.run_state import RunState, read_run_state
from hpcmtl.training.session import artifact_file

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from hpcmtl.results.rundir.directory import RunDirectory


@dataclass(frozen=True)
class VerifiedFile:
    """A file of a run that was verified.

    Attributes:
        file: path, relative to the run directory.
        kind: ledger, record, job, artifact or checkpoint.
        bytes: size; 0 if it is missing.
        damage: what is wrong with it; an empty text if nothing is.
    """

    file: str
    kind: str
    bytes: int
    damage: str


def verify_run(run: RunDirectory) -> Iterator[VerifiedFile]:
    """Yields each file of a run that has a seal, a checksum or a form, as soon as it is verified."""
    state, damage = RunState(), ""
    try:
        state = read_run_state(run.ledger_file)
    except InputError as error:
        damage = error.in_one_line
    has_artifacts = any(run.artifacts.glob("*.h5"))
    if has_artifacts and not run.ledger_file.exists():
        damage = "is missing, though the run has artifacts"
    if damage or run.ledger_file.exists():
        yield _verified(run, run.ledger_file, "ledger", damage)
    if run.results_file.exists():
        yield _verified(run, run.results_file, "record", _json_damage(run.results_file))
    if damage := _job_damage(run):
        yield _verified(run, run.job_file, "job", damage)
    artifacts = set(run.artifacts.glob("*.h5")) | set(_expected(run, state))
    for file in sorted(artifacts):
        yield _verified(run, file, "artifact", damage_of(file))
    for file in sorted(run.checkpoints.glob("*/*.h5")):
        found = damage_of(file)
        if file.exists():  # else a running attempt has removed it meanwhile
            yield _verified(run, file, "checkpoint", found)


def _job_damage(run: RunDirectory) -> str:
    try:
        load_job(run.job_file)
    except InputError as error:
        return error.in_one_line
    return ""


def _expected(run: RunDirectory, state: RunState) -> Iterator[Path]:
    """Yields the artifacts of complete tasks, whether they exist or not; none if the job cannot be read."""
    try:
        prepared = prepare(run.job_file)
    except InputError:
        return
    for name, task in state.tasks.items():
        if task.complete and name in prepared.job.tasks and publishes(prepared, name):
            yield artifact_file(run, name)


def _json_damage(file: Path) -> str:
    try:
        values = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        return f"is no JSON: {error}"
    return "" if isinstance(values, dict) and "status" in values else "is no completion record: it has no status"


def _verified(run: RunDirectory, file: Path, kind: str, damage: str) -> VerifiedFile:
    size = file.stat().st_size if file.is_file() else 0
    return VerifiedFile(str(file.relative_to(run.path)), kind, size, damage)
