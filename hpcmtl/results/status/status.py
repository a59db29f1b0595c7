"""The status of a run as plain values: written by rank 0 to `status.json`, and read from a run directory."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from hpcmtl.results.event_format import to_fields
from hpcmtl.results.outcome.affinity import affinity_of
from hpcmtl.results.outcome.record import record_of
from hpcmtl.results.rundir.directory import RunDirectory
from hpcmtl.results.rundir.find import begun
from hpcmtl.results.rundir.submission import Submission, read_submission
from hpcmtl.results.status.progress_reader import ProgressReader, read_object
from hpcmtl.results.status.snapshot import live_of

if TYPE_CHECKING:
    from pathlib import Path

    from hpcmtl.results.events import RankLost, RankSuspected
    from hpcmtl.results.history import AttemptHistory, TaskHistory
    from hpcmtl.results.run_state import RunState
    from hpcmtl.results.status.job_progress import JobProgress
    from hpcmtl.results.status.snapshot import StatusSnapshot


def status_of(job_progress: JobProgress, now: float) -> dict[str, Any]:
    """Returns the progress of a job as plain values, tasks as an object by their names.

    Args:
        job_progress: the job.
        now: seconds since 1970.
    """
    state, left = job_progress.state, job_progress.seconds_left(now)
    end = state.ended or now
    return {
        "job": state.job,
        "status": state.status,
        "ranks": state.ranks,
        "started": state.started or None,
        "ended": state.ended or None,
        "seconds": max(end - state.started, 0.0) if state.started else 0.0,
        "expected_seconds_left": None if left is None else left[0],
        "expected_from": "" if left is None else left[1],
        "tasks": {name: _task(job_progress.kind(name), task, now) for name, task in state.tasks.items()},
        "lost_ranks": [_rank(event) for event in state.lost],
        "suspects": [_rank(event) for _, event in sorted(state.suspects.items())],
    }


def read_status(path: Path, now: float | None = None, reader: ProgressReader | None = None) -> dict[str, Any]:
    """Reads the status of a run from its directory alone: the ledger has what is done, `status.json` the rest.

    Args:
        path: the run directory.
        now: seconds since 1970; the clock's by default.
        reader: reader of this run that has read a part of its ledger before; a new one by default.

    Returns:
        The values of `status_of`; `nodes` and `rank_heartbeats` as rank 0 last wrote them, each with age and `stale`;
        `age`, the seconds since the last sign of the run (None if there was none), and `silent`, true if that is more
        than `patience` for a run that has not ended: the other values are then those of the last sign. Further the last
        `attempt` (0 if none has begun), its `host`, completion `record` (its status; or empty) and `cancelled_by`; of
        its batch jobs `job_ids`, `submitted` and `cluster`.

    Raises:
        InputError: this is no run directory, or its ledger is damaged.
    """
    now = datetime.now(timezone.utc).timestamp() if now is None else now
    run = RunDirectory(path)
    submission = read_submission(run)
    job_progress = (reader or ProgressReader(run)).read(submitted=submission is not None)
    state = job_progress.state
    live = live_of(read_object(run.status_file) or {})
    _take_live(state, live)
    heard = max(live.written, state.latest) or (0.0 if submission else begun(run) / 1e9)
    age = max(now - heard, 0.0) if heard else None
    silent = not state.ended and age is not None and age > live.suspect_after
    return {
        "run": str(path),
        **status_of(job_progress, heard if silent else now),
        **_attempt(run, state.attempt) | _submitted(submission or Submission()),
        "now": now,
        "age": age,
        "patience": live.suspect_after,
        "silent": silent,
        "nodes": [_aged(node, now - live.written, live.suspect_after) for node in live.nodes],
        "rank_heartbeats": [_aged(each, now - live.written, live.suspect_after) for each in live.rank_heartbeats],
    }


def _take_live(state: RunState, live: StatusSnapshot) -> None:
    """Adds the progress of running and stopped layers to a state of the ledger."""
    for (name, layers_done), kept in live.kept.items():
        state.keep(name, layers_done, kept)
    for progress in live.progress:
        state.progressed(progress)


def _aged(facts: dict[str, Any], seconds: float, patience: float) -> dict[str, Any]:
    """Returns facts that were written some seconds ago, with their present age."""
    if "age" not in facts:
        return facts
    age = max(facts["age"] + seconds, 0.0)
    return {**facts, "age": age, "stale": age > patience}


def _attempt(run: RunDirectory, attempt: AttemptHistory) -> dict[str, Any]:
    record = record_of(run, attempt) or {}
    return {
        "attempt": attempt.number,
        "host": attempt.host,
        "record": record.get("status", ""),
        "cancelled_by": attempt.cancelled_by,
    }


def _rank(event: RankSuspected | RankLost) -> dict[str, Any]:
    """Returns the fields of an event of a rank, without those of a task where the rank waited for work."""
    fields = to_fields(event)
    return fields if event.task else {key: fields[key] for key in fields if key not in {"task", "layer", "step"}}


def _submitted(submission: Submission) -> dict[str, Any]:
    try:
        time = datetime.fromisoformat(submission.submitted).timestamp()
    except (ValueError, OverflowError):
        time = None
    return {"job_ids": list(submission.job_ids), "submitted": time, "cluster": submission.cluster}


def _task(kind: str, task: TaskHistory, now: float) -> dict[str, Any]:
    progress, affinity = None, affinity_of(layer.facts for layer in task.outcomes)
    if task.progress is not None:
        progress = {key: value for key, value in asdict(task.progress).items() if key != "task"}
    return {
        "kind": kind,
        "status": task.status,
        "layers_done": task.layers_done,
        "layers": max(task.layers, 1),
        "layer": task.layer if task.status == "running" else None,
        "ranks": task.ranks,
        "kept": task.kept,
        "fraction": task.share if task.status in {"running", "held", "waiting", "stopped", "complete"} else None,
        "seconds_left_of_layer": task.seconds_left(now),
        "progress": progress,
        "message": task.message,
        "affinity": None if affinity is None else asdict(affinity),
    }
