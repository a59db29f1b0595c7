"""How a run is doing, as plain values: what rank 0 writes to `status.json`, and what a run directory tells."""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from hpcmtl.errors import InputError, Problem
from hpcmtl.results.ledger import read, understanding
from hpcmtl.results.outcome.record import last_attempt, record_of
from hpcmtl.results.rundir.directory import RunDirectory
from hpcmtl.results.rundir.find import begun
from hpcmtl.results.rundir.submission import Submission, read_submission
from hpcmtl.results.status.job_progress import JobProgress
from hpcmtl.results.status.snapshot import live_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from hpcmtl.results.status.job_progress import TaskProgress

PATIENCE = 6  # beats without a word, after which a rank is suspect, or a run


def status_of(job_progress: JobProgress, now: float) -> dict[str, Any]:
    """Return where a job stands, tasks as an object by their names.

    Args:
        job_progress: the job.
        now: seconds since 1970.
    """
    left = job_progress.left(now)
    end = job_progress.ended or now
    return {
        "job": job_progress.job,
        "status": job_progress.status,
        "ranks": job_progress.ranks,
        "started": job_progress.started or None,
        "ended": job_progress.ended or None,
        "seconds": max(end - job_progress.started, 0.0) if job_progress.started else 0.0,
        "expected_seconds_left": None if left is None else left[0],
        "expected_from": "" if left is None else left[1],
        "tasks": {name: _task(line, now) for name, line in job_progress.tasks.items()},
        "lost_ranks": [dict(fields) for fields in job_progress.lost],
        "suspects": [{"rank": rank, **fields} for rank, fields in sorted(job_progress.suspects.items())],
    }


def read_status(path: Path, now: float | None = None) -> dict[str, Any]:
    """Read how a run is doing from its directory alone: the ledger says what is done, `status.json` the rest.

    Args:
        path: the run directory.
        now: seconds since 1970; the clock's by default.

    Returns:
        As `status_of`, with `nodes` and `rank_beats` as rank 0 last wrote them, each with its age and whether it is
        stale, `age` (seconds since the last word of the run; None if there was none) and `silent`: whether that is more
        than `patience` for a run that has not ended, and all is from then. Further the last `attempt` (0 if none has
        begun), its completion `record` (its status; or empty), `cancelled_by`, and of its batch jobs `job_ids`,
        `submitted` and `cluster`.

    Raises:
        InputError: this is no run directory, or its ledger is damaged.
    """
    now = datetime.now(timezone.utc).timestamp() if now is None else now
    run = RunDirectory(path)
    submission = read_submission(run)
    events = read(run.ledger_file) if run.ledger_file.exists() else []
    job_progress = _job_progress(run, events, submitted=submission is not None)
    live = live_of(_json(run.status_file) or {})
    for progress in live.progress:
        job_progress.progressed(progress)
    heard = max(live.written, job_progress.latest) or (0.0 if submission else begun(run) / 1e9)
    age = max(now - heard, 0.0) if heard else None
    patience = PATIENCE * live.seconds_between_beats
    silent = not job_progress.ended and age is not None and age > patience
    return {
        "run": str(path),
        **status_of(job_progress, heard if silent else now),
        **_attempt(run, events) | _submitted(submission or Submission()),
        "now": now,
        "age": age,
        "patience": patience,
        "silent": silent,
        "nodes": [_aged(node, now - live.written, patience) for node in live.nodes],
        "rank_beats": [_aged(beat, now - live.written, patience) for beat in live.rank_beats],
    }


def _aged(facts: dict[str, Any], seconds: float, patience: float) -> dict[str, Any]:
    """Facts that were written so many seconds ago."""
    if "age" not in facts:
        return facts
    age = max(facts["age"] + seconds, 0.0)
    return {**facts, "age": age, "stale": age > patience}


def _attempt(run: RunDirectory, events: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    attempt = last_attempt(events)
    record = record_of(run, attempt) or {}
    return {"attempt": attempt.number, "record": record.get("status", ""), "cancelled_by": attempt.cancelled_by}


def _submitted(submission: Submission) -> dict[str, Any]:
    try:
        time = datetime.fromisoformat(submission.submitted).timestamp()
    except (ValueError, OverflowError):
        time = None
    return {"job_ids": list(submission.job_ids), "submitted": time, "cluster": submission.cluster}


def _job_progress(run: RunDirectory, events: Sequence[Mapping[str, Any]], *, submitted: bool) -> JobProgress:
    """What the ledger tells."""
    if submitted and run.job_file.exists() and not run.plan_file.exists() and not events:
        return JobProgress({})
    if not run.plan_file.exists() and not run.ledger_file.exists():
        missing = f"it has neither {run.plan_file.name} nor {run.ledger_file.name}"
        raise InputError([Problem(str(run.path), f"this is no run directory: {missing}")])
    plan = _json(run.plan_file)
    if plan is None:
        raise InputError([Problem(str(run.plan_file), "there is no plan in it, without which no task is known")])
    try:
        job_progress = JobProgress.of_plan(plan)
    except (AttributeError, KeyError, OverflowError, TypeError, ValueError) as error:
        message = f"this is no plan that this version of hpcmtl can read ({error})"
        raise InputError([Problem(str(run.plan_file), message)]) from error
    for number, event in enumerate(events):
        with understanding(run.ledger_file, number):
            job_progress.take_event(event)
    return job_progress


def _json(path: Path) -> dict[str, Any] | None:
    """An object from a file; None if it is not there, or is none."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return value if isinstance(value, dict) else None


def _task(line: TaskProgress, now: float) -> dict[str, Any]:
    progress = None
    if line.progress is not None:
        progress = {key: value for key, value in asdict(line.progress).items() if key != "task"}
    return {
        "kind": line.kind,
        "status": line.status,
        "layers_done": line.layers_done,
        "layers": line.layers,
        "layer": line.layer if line.status == "running" else None,
        "ranks": line.ranks,
        "fraction": line.share if line.status in {"running", "held", "waiting", "complete"} else None,
        "seconds_left_of_layer": line.left(now),
        "progress": progress,
        "message": line.message,
    }
