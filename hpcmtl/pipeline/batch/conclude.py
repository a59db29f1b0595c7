"""End of a batch script: the result of its attempt, one line about it, and the start of the next attempt."""

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
class LauncherExit:
    """Holds the end of an attempt's launcher, as the batch script saw it.

    Attributes:
        code: exit code.
        seconds: seconds since the script began.
        terminated: True if Slurm has sent SIGTERM.
    """

    code: int
    seconds: float = 0.0
    terminated: bool = False


def conclude(path: Path, ended: LauncherExit, environ: Mapping[str, str] = os.environ) -> tuple[int, str]:
    """Determines how an attempt ended, and starts the next one if there is to be one.

    Args:
        path: run directory.
        ended: end of the launcher.
        environ: the environment of the script.

    Returns:
        The exit code of the script, and one line for the user.

    Raises:
        InputError: the path is not a run directory, or its ledger is damaged; no attempt is started then.
    """
    run = RunDirectory(path)
    if not run.job_file.is_file():
        raise InputError([Problem(str(path), "this is no run directory: it has no job.yaml")])
    _hold_signals()
    submission, job, attempt = _submission(path), batch_job(environ), attempt_id(environ)
    progressed, no_progress = stuck(run, attempt)
    outcome = _attempt(run, attempt, ended, submission, job)
    step = decide(replace(outcome, stuck=no_progress))
    facts = {"attempt": attempt, "code": ended.code, "why": step.why, "progressed": progressed, "successor": ""}
    facts |= {"job": "" if job is None else job.name}
    if step.action == "end" or job is None:
        conclude_attempt(path, action="end", **facts)
        return step.code, step.why
    facts["preempted"] = outcome.preempted
    count = "(after preemption, not counted)" if outcome.preempted else f"({outcome.further + 1} of {outcome.allowed})"
    return _start_next(path, job, step, facts, f"{count}: resumes at {where_it_goes_on(path)}")


def _attempt(
    run: RunDirectory, attempt: str, ended: LauncherExit, submission: Mapping[str, Any], job: BatchJob | None
) -> AttemptOutcome:
    """Returns the facts about the attempt, except its progress."""
    record, allowed = status_left(run, attempt), int(submission.get("requeues") or 0)
    may_follow = record in {None, "stopped"} and allowed > 0
    return AttemptOutcome(
        record=record,
        code=ended.code,
        ended_by_slurm=ended.terminated,
        at_limit=_at_limit(ended, submission, job),
        further=0 if job is None else further_attempts(run.path, job.name),
        allowed=allowed,
        restart="successor" if submission.get("restart") == "successor" else "requeue",
        in_slurm=job is not None,
        cancelled_by=_cancelled_by(run, attempt),
        preempted=may_follow and job is not None and slurm.preempted(job.name),
    )


def _start_next(path: Path, job: BatchJob, step: NextStep, facts: dict[str, Any], next_: str) -> tuple[int, str]:
    """Requeues the job, or submits a successor if that is configured or if Slurm refuses to requeue."""
    refused = ""
    if step.action == "requeue":
        conclude_attempt(path, action="requeue", **facts)  # recorded first, because Slurm then ends this process
        reply = slurm.requeue(job.name)
        if reply.ok:
            return step.code, f"{step.why}; requeued by hpcmtl {next_}"
        refused = f" (requeue refused: {reply.message})"
    submission = _submission(path)
    script, arguments = submission.get("script") or str(path / "job.sbatch"), submission.get("arguments") or []
    options = [f"--dependency=afterany:{job.name}"] + ([] if job.index is None else [f"--array={job.index}"])
    try:
        successor = slurm.submit(Path(script), options, arguments).partition(";")[0]
    except EnvironmentUnfitError as error:
        conclude_attempt(path, action="end", **facts)
        return (
            step.code_alone,
            f"{step.why}; no further attempt{refused}: {error}; submit it again: sbatch {script}",
        )
    facts["successor"] = successor if job.index is None else f"{successor}_{job.index}"
    conclude_attempt(path, action="successor", **facts)
    return step.code, f"{step.why}; job {successor} follows, submitted by hpcmtl{refused} {next_}"


def _hold_signals() -> None:
    """Ignores signals while Slurm ends the requeued job, in this process and its children."""
    for number in (signal.SIGTERM, signal.SIGUSR1, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)


def _at_limit(ended: LauncherExit, submission: Mapping[str, Any], job: BatchJob | None) -> bool:
    """Returns True if the time limit is reached; there is no signal for it, only the clock."""
    limit = submission.get("time_limit")
    if limit is not None and ended.seconds >= limit - CLOSE_TO_END:
        return True
    return job is not None and job.ends is not None and time.time() >= job.ends - CLOSE_TO_END


def _cancelled_by(run: RunDirectory, attempt: str) -> str:
    """Returns the user who cancelled the whole job in this attempt; else an empty string."""
    last = read_run_state(run.ledger_file).attempt
    return last.cancelled_by if last.id == attempt else ""


def _submission(path: Path) -> dict[str, Any]:
    """Returns the record of `hpcmtl submit`; empty for a run that was submitted otherwise."""
    try:
        values = json.loads((path / RECORD).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return values if isinstance(values, dict) else {}
