"""The last line of a batch script: what its attempt has left, one line about it, and the next attempt."""

from __future__ import annotations

import json
import os
import signal
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hpcmtl.errors import EnvironmentUnfitError, InputError, Problem
from hpcmtl.launch.environment import attempt_id, batch_job
from hpcmtl.launch.slurm import client as slurm
from hpcmtl.launch.slurm.next_step import CLOSE_TO_END, AttemptOutcome, decide
from hpcmtl.results.outcome.attempts import conclude_attempt, further_attempts, status_left, stuck, where_it_goes_on
from hpcmtl.results.run_state import read_run_state
from hpcmtl.results.rundir.directory import RunDirectory

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hpcmtl.launch.environment import BatchJob
    from hpcmtl.launch.slurm.next_step import NextStep

RECORD = "submission.json"


@dataclass(frozen=True)
class Ended:
    """How the launcher of an attempt ended, as its script saw it.

    Attributes:
        code: its exit code.
        seconds: since the script began.
        terminated: whether Slurm has sent TERM.
    """

    code: int
    seconds: float = 0.0
    terminated: bool = False


def conclude(path: Path, ended: Ended, environ: Mapping[str, str] = os.environ) -> tuple[int, str]:
    """Find out how an attempt ended, and see to the next one.

    Args:
        path: run directory.
        ended: what the script saw.
        environ: the environment of the script.

    Returns:
        The exit code of the script, and one line for people.

    Raises:
        InputError: this is no run directory, or its ledger is damaged: then nothing is tried again.
    """
    run = RunDirectory(path)
    if not run.job_file.is_file():
        raise InputError([Problem(str(path), "this is no run directory: it has no job.yaml")])
    _hold_signals()
    submission, job, attempt = _submission(path), batch_job(environ), attempt_id(environ)
    progressed, in_vain = stuck(run, attempt)
    told = _attempt(run, attempt, ended, submission, job)
    verdict = decide(replace(told, stuck=in_vain))
    facts = {"attempt": attempt, "code": ended.code, "why": verdict.why, "progressed": progressed, "successor": ""}
    facts |= {"job": "" if job is None else job.name}
    if verdict.action == "end" or job is None:
        conclude_attempt(path, action="end", **facts)
        return verdict.code, verdict.why
    count = f"({told.further + 1} of {told.allowed})"
    return _again(path, job, verdict, facts, f"{count}: resumes at {where_it_goes_on(path)}")


def _attempt(
    run: RunDirectory, attempt: str, ended: Ended, submission: Mapping[str, Any], job: BatchJob | None
) -> AttemptOutcome:
    """All that is known of the attempt, but for whether it got on."""
    return AttemptOutcome(
        record=status_left(run, attempt),
        code=ended.code,
        ended_by_slurm=ended.terminated,
        at_limit=_at_limit(ended, submission, job),
        further=0 if job is None else further_attempts(run.path, job.name),
        allowed=int(submission.get("requeues") or 0),
        restart="successor" if submission.get("restart") == "successor" else "requeue",
        in_slurm=job is not None,
        cancelled_by=_cancelled_by(run, attempt),
    )


def _again(path: Path, job: BatchJob, verdict: NextStep, facts: dict[str, Any], next_: str) -> tuple[int, str]:
    """Requeue the job, or submit its successor where that is asked for, or where Slurm refuses."""
    refused = ""
    if verdict.action == "requeue":
        conclude_attempt(path, action="requeue", **facts)  # before, as Slurm then ends this process
        reply = slurm.requeue(job.name)
        if reply.ok:
            return verdict.code, f"{verdict.why}; requeued by hpcmtl {next_}"
        refused = f" (requeue refused: {reply.message})"
    submission = _submission(path)
    script, arguments = submission.get("script") or str(path / "job.sbatch"), submission.get("arguments") or []
    options = [f"--dependency=afterany:{job.name}"] + ([] if job.index is None else [f"--array={job.index}"])
    try:
        successor = slurm.submit(Path(script), options, arguments).partition(";")[0]
    except EnvironmentUnfitError as error:
        conclude_attempt(path, action="end", **facts)
        return (
            verdict.code_alone,
            f"{verdict.why}; no further attempt{refused}: {error}; submit it again: sbatch {script}",
        )
    facts["successor"] = successor if job.index is None else f"{successor}_{job.index}"
    conclude_attempt(path, action="successor", **facts)
    return verdict.code, f"{verdict.why}; job {successor} follows, submitted by hpcmtl{refused} {next_}"


def _hold_signals() -> None:
    """Go on while Slurm ends the job that has asked to be requeued; what this process starts goes on as well."""
    for number in (signal.SIGTERM, signal.SIGUSR1, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)


def _at_limit(ended: Ended, submission: Mapping[str, Any], job: BatchJob | None) -> bool:
    """Whether the time is up: no signal says so, only the clock."""
    limit = submission.get("time_limit")
    if limit is not None and ended.seconds >= limit - CLOSE_TO_END:
        return True
    return job is not None and job.ends is not None and time.time() >= job.ends - CLOSE_TO_END


def _cancelled_by(run: RunDirectory, attempt: str) -> str:
    """Who cancelled the whole job in this attempt."""
    last = read_run_state(run.ledger_file).attempt
    return last.cancelled_by if last.id == attempt else ""


def _submission(path: Path) -> dict[str, Any]:
    """What `hpcmtl submit` has noted; nothing for a run that was submitted by other means."""
    try:
        values = json.loads((path / RECORD).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return values if isinstance(values, dict) else {}
