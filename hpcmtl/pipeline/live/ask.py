"""Requests to a running job through its run directory alone, from any host that sees the directory."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

from hpcmtl.dispatch.requests.steering import VERBS, problem_of
from hpcmtl.errors import EnvironmentUnfitError, InputError, Problem, nearest
from hpcmtl.jobfile.kind_facts import KindFacts
from hpcmtl.jobfile.read import read_values
from hpcmtl.results.history import OPEN
from hpcmtl.results.outcome.record import record_of
from hpcmtl.results.run_state import read_run_state
from hpcmtl.results.rundir.requests import read_answer, submit, withdraw

if TYPE_CHECKING:
    from hpcmtl.results.rundir.directory import RunDirectory
    from hpcmtl.results.rundir.requests import Answer, Request

_SECONDS_BETWEEN_LOOKS = 0.1


def job_of(run: RunDirectory) -> dict[str, Any]:
    """Returns the job of a run as plain values, with defaults filled in and absolute data files.

    Raises:
        InputError: the job cannot be read.
    """
    try:
        job = dict(read_values(run.job_file)[0])
        _ = {name: str(task["kind"]) for name, task in job["tasks"].items()}
    except (AttributeError, InputError, KeyError, TypeError, ValueError) as error:
        message = f"the job of this run cannot be read ({type(error).__name__}: {error})"
        raise InputError([Problem(str(run.job_file), message)]) from error
    return job


def require_running(run: RunDirectory) -> None:
    """Refuses a run that has ended.

    Raises:
        EnvironmentUnfitError: the last attempt has ended.
    """
    record = record_of(run, read_run_state(run.ledger_file).attempt)
    if record is not None:
        status = record["status"]
        raise EnvironmentUnfitError(f"{run.path}: the run has ended ({status}): there is nothing left to change")


def check(run: RunDirectory, request: Request) -> None:
    """Refuses a request that the run directory alone shows to be wrong.

    Raises:
        InputError: the task does not exist or has ended, or the values are not allowed.
        EnvironmentUnfitError: the run has ended.
    """
    require_running(run)
    if request.verb not in VERBS or not request.task:
        return
    tasks = job_of(run)["tasks"]
    if request.task not in tasks:
        raise InputError(
            [Problem(f"{run.path}: {request.task}", f"there is no such task{nearest(request.task, tasks)}")]
        )
    if request.verb == "set":
        problem = problem_of(request, tasks[request.task]["kind"], _facts_of(run, request.task))
        if problem:
            raise InputError([Problem(f"set {request.task}", problem)])
    task = read_run_state(run.ledger_file).task(request.task)  # failed ones of an earlier attempt are tried again
    if task.status not in OPEN | {"stopped"}:  # between two attempts the next one answers
        raise InputError([Problem(f"{run.path}: {request.task}", f"the task has ended: it is {task.status}")])


def ask(run: RunDirectory, request: Request, timeout: float) -> Answer | None:
    """Submits a request and waits for the answer.

    Args:
        run: the run directory.
        request: the request.
        timeout: seconds to wait for the answer; 0 to return at once.

    Returns:
        The answer; None for a `timeout` of 0.

    Raises:
        EnvironmentUnfitError: no answer came. The request is withdrawn, unless the message says otherwise.
    """
    before = _stamp(run)
    submit(run.requests, request)
    end = time.monotonic() + timeout
    while timeout > 0:
        answer = read_answer(run.requests, request)
        if answer is not None:
            return answer
        over = _stamp(run) != before
        if over or time.monotonic() > end:
            withdrawn = withdraw(run.requests, request)
            answer = read_answer(run.requests, request)  # it may have come in this moment
            if answer is not None:
                return answer
            raise EnvironmentUnfitError(_no_answer(run, request, timeout, withdrawn=withdrawn, over=over))
        time.sleep(_SECONDS_BETWEEN_LOOKS)  # a file on a shared file system: there is no condition to wait on
    return None


def _facts_of(run: RunDirectory, task: str) -> KindFacts:
    """Returns the properties of a task's kind from the plan; if they are not there, those that forbid nothing."""
    try:
        tasks = json.loads(run.plan_file.read_text(encoding="utf-8"))["tasks"]
        return KindFacts(**next(entry["facts"] for entry in tasks if entry["name"] == task))
    except (KeyError, OSError, StopIteration, TypeError, ValueError):  # the dispatcher will answer
        return KindFacts(has_learning_rate=True)


def _stamp(run: RunDirectory) -> int | None:
    """Returns the time of the completion record, which changes when an attempt writes its own; None without one."""
    try:
        return run.results_file.stat().st_mtime_ns
    except FileNotFoundError:
        return None


def _no_answer(run: RunDirectory, request: Request, timeout: float, *, withdrawn: bool, over: bool) -> str:
    if over:
        return f"{run.path}: the run has ended before it could answer"
    if withdrawn:
        text = f"no answer within {timeout:g} s: the run is dead, or its node does not see this directory yet"
        return f"{run.path}: {text}; the request is withdrawn"
    where = run.requests / f"{request.id}.answer.json"
    return f"{run.path}: the job took the request but has not answered within {timeout:g} s; look for {where}"
