"""The state of a whole sweep, with one query of Slurm for all its runs, and its cancellation."""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from hpcmtl.errors import EnvironmentUnfitError, ExitCode, HpcmtlError
from hpcmtl.launch.slurm.queue import cancel_jobs, signal_jobs
from hpcmtl.launch.slurm.throttle import query_throttled
from hpcmtl.pipeline.live.cancel import cancel_job
from hpcmtl.pipeline.live.watch import diagnosed, read_facts, reply_values
from hpcmtl.results.rundir.directory import RunDirectory
from hpcmtl.results.rundir.submission import Submission, read_submission
from hpcmtl.results.status.progress_reader import ProgressReader

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from hpcmtl.launch.slurm.queue import QueueReply
    from hpcmtl.results.rundir.sweep import Sweep

_ASKED_AT_ONCE = 16
_WORST_FIRST = (ExitCode.TASK_FAILED, ExitCode.STOPPED, ExitCode.COMPLETE)


class SweepReader:
    """Reads the state of a sweep again and again; of each ledger only what is new."""

    def __init__(self, sweep: Sweep) -> None:
        self._sweep = sweep
        self._readers = {name: ProgressReader(run) for name, run in sweep.points.items()}

    def look(self, now: float | None = None) -> dict[str, Any]:
        """Returns the state of the sweep.

        Args:
            now: seconds since 1970; the clock's by default.

        Returns:
            `sweep`, the directory; `points`, the values of `diagnose_run` by name; `counts`, the number of points by
            state; `over` and `sure`, true if that holds for all points; `exit_code`, 1 if a point failed, else 75 if
            one stopped, else 0, and None while one is not over; `slurm`, as in `diagnose_run`; and `now`.

        Raises:
            InputError: a point is no run directory, or its ledger is damaged.
        """
        facts = {name: read_facts(run, now, self._readers[name]) for name, run in self._sweep.points.items()}
        submissions = {name: read_submission(run) or Submission() for name, run in self._sweep.points.items()}
        jobs = [job for name, (_, evidence) in facts.items() if evidence.open for job in submissions[name].job_ids]
        reply = None
        if jobs:
            cluster = _cluster_of(submissions.values())
            whole = Submission(tuple(dict.fromkeys(jobs)), cluster=cluster, script=self._sweep.script)
            reply = query_throttled(RunDirectory(self._sweep.path), replace(whole, whole_sweep=True), now)
        points = {
            name: diagnosed(status, evidence, _own(reply, submissions[name]) if evidence.open else None)
            for name, (status, evidence) in facts.items()
        }
        return _together(self._sweep, points, reply)


def _own(reply: QueueReply | None, submission: Submission) -> QueueReply | None:
    """Returns the part of a reply that is about one run."""
    if reply is None:
        return None
    ids = set(submission.job_ids)
    own = [state for state in reply.states if state.job in ids or submission.has_started(state.job, state.command)]
    return replace(reply, states=tuple(own))


def _together(sweep: Sweep, points: Mapping[str, Mapping[str, Any]], reply: QueueReply | None) -> dict[str, Any]:
    over = all(found["over"] for found in points.values())
    codes = {found["exit_code"] for found in points.values()}
    return {
        "sweep": str(sweep.path),
        "job_ids": list(sweep.jobs),
        "points": points,
        "counts": dict(Counter(str(found["state"]) for found in points.values())),
        "over": over,
        "sure": all(found["sure"] for found in points.values() if found["over"]),
        "exit_code": next((int(code) for code in _WORST_FIRST if code in codes), 0) if over else None,
        "slurm": reply_values(reply),
        "now": max((found["now"] for found in points.values()), default=0.0),
    }


def cancel_sweep(sweep: Sweep, timeout: float, *, at_once: bool = False) -> dict[str, Any]:
    """Cancels all runs of a sweep that have not ended: those in the queue by scancel, the others by a request.

    Args:
        sweep: the sweep.
        timeout: seconds to wait for the answers of running jobs; 0 does not wait.
        at_once: true to let Slurm end the batch jobs at once; the work since the last checkpoints is lost.

    Returns:
        `sweep`, `jobs`, and the `points` that were cancelled, each with a message.

    Raises:
        EnvironmentUnfitError: all runs have ended, Slurm refuses, or none of the running jobs answers.
    """
    found = SweepReader(sweep).look()
    left = {name: each for name, each in found["points"].items() if not (each["over"] and each["sure"])}
    if not left:
        raise EnvironmentUnfitError(f"{sweep.path}: all {len(found['points'])} runs have ended")
    cluster = _cluster_of(read_submission(run) or Submission() for run in sweep.points.values())
    jobs = Submission(tuple(dict.fromkeys(job for each in left.values() for job in _jobs_of(each))), cluster=cluster)
    if at_once or sweep.kind == "benchmark":
        cancel_jobs(jobs, pending_only=not at_once)
        if not at_once:  # its one script goes on with the next run unless it is told to stop
            signal_jobs(jobs, "USR1")
        message = "Slurm ends its job now" if at_once else "its job stops with checkpoints"
        return _cancelled(sweep, jobs, dict.fromkeys(left, message))
    running = [name for name, each in left.items() if each["state"] not in {"waiting", "requeued"}]
    if len(running) < len(left):
        cancel_jobs(jobs, pending_only=True)
    said = dict.fromkeys(left, "Slurm takes its job out of its queue")
    answers, refused = _ask(sweep, running, timeout)
    if refused and not answers and len(running) == len(left):
        raise EnvironmentUnfitError("; ".join(refused.values()))
    return _cancelled(sweep, jobs, {**said, **answers, **refused})


def _ask(sweep: Sweep, names: list[str], timeout: float) -> tuple[dict[str, str], dict[str, str]]:
    """Asks running points to stop; returns the answers, and the reasons why others gave none."""
    answers, refused = {}, {}
    with ThreadPoolExecutor(_ASKED_AT_ONCE) as pool:
        asked = {name: pool.submit(cancel_job, sweep.points[name], timeout) for name in names}
    for name, future in asked.items():
        try:
            answers[name] = future.result().message
        except HpcmtlError as error:
            refused[name] = str(error)
    return answers, refused


def _cluster_of(submissions: Iterable[Submission]) -> str:
    """Returns the cluster of a sweep, all of which is submitted at once; empty for that of this host."""
    return next((each.cluster for each in submissions), "")


def _jobs_of(found: Mapping[str, Any]) -> list[str]:
    words = (found["slurm"] or {}).get("words", ())
    return [*found["job_ids"], *(str(word["job"]) for word in words)]


def _cancelled(sweep: Sweep, jobs: Submission, points: Mapping[str, str]) -> dict[str, Any]:
    return {"sweep": str(sweep.path), "jobs": list(jobs.job_ids), "points": dict(points)}
