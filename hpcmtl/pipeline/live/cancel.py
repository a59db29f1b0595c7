"""Cancels a whole job: in Slurm's queue while it waits there, else by a request to stop with checkpoints."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

from hpcmtl.errors import EnvironmentUnfitError, InputError, Problem
from hpcmtl.launch.slurm.queue import cancel_jobs
from hpcmtl.pipeline.live.ask import ask
from hpcmtl.pipeline.live.watch import diagnose_run
from hpcmtl.results.rundir.requests import new_request
from hpcmtl.results.rundir.submission import Submission, read_submission

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hpcmtl.results.rundir.directory import RunDirectory

_IN_QUEUE = frozenset({"waiting", "requeued"})


@dataclass(frozen=True)
class Cancelled:
    """The way in which a job was cancelled.

    Attributes:
        run: the run directory.
        how: request, to the running job, or scancel.
        jobs: batch jobs that were given to scancel.
        message: consequence, for the user.
    """

    run: str
    how: Literal["request", "scancel"]
    jobs: tuple[str, ...]
    message: str


def cancel_job(run: RunDirectory, timeout: float, *, at_once: bool = False) -> Cancelled:
    """Cancels a whole job.

    Args:
        run: its directory.
        timeout: seconds to wait for the answer of a running job; 0 does not wait.
        at_once: true to let Slurm end its batch jobs at once; the work since the last checkpoint is lost.

    Raises:
        EnvironmentUnfitError: the run has ended, or neither the job nor Slurm answers.
        InputError: the run refuses, or has no batch job to end at once.
    """
    found = diagnose_run(run.path)
    submission = _with_found_jobs(read_submission(run) or Submission(), found["slurm"])
    jobs = ", ".join(submission.job_ids)
    if found["over"] and found["sure"]:
        raise EnvironmentUnfitError(f"{run.path}: the run has ended ({found['state']}): there is nothing to cancel")
    if at_once:
        if not submission.job_ids:
            message = "it has no batch job; cancel it without --now, or send its launcher SIGTERM"
            raise InputError([Problem(f"{run.path}: --now", message)])
        cancel_jobs(submission, pending_only=False)
        return Cancelled(str(run.path), "scancel", submission.job_ids, f"Slurm ends job {jobs} now")
    if found["state"] in _IN_QUEUE and submission.job_ids:
        cancel_jobs(submission, pending_only=True)
        message = f"Slurm takes job {jobs} out of its queue; if it has begun in this moment, cancel once more"
        return Cancelled(str(run.path), "scancel", submission.job_ids, message)
    return Cancelled(str(run.path), "request", (), _ask(run, timeout, has_jobs=bool(submission.job_ids)))


def _with_found_jobs(submission: Submission, slurm: Mapping[str, Any] | None) -> Submission:
    """Returns a submission with the jobs that a user submitted with sbatch, as Slurm named them."""
    words = [str(word["job"]) for word in (slurm or {}).get("words", ())]
    return replace(submission, job_ids=tuple(dict.fromkeys([*submission.job_ids, *words])))


def _ask(run: RunDirectory, timeout: float, *, has_jobs: bool) -> str:
    """Returns the answer of a running job to the request."""
    request = new_request("cancel")
    try:
        answer = ask(run, request, timeout)
    except EnvironmentUnfitError as error:
        hint = "; --now lets Slurm end its batch job" if has_jobs else ""
        raise EnvironmentUnfitError(f"{error}{hint}") from error
    if answer is None:
        return f"the request is {run.requests / request.id}.json"
    if not answer.accepted:
        raise InputError([Problem("cancel", f"refused: {answer.message}")])
    return answer.message
