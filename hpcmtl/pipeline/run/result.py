"""The result of a job, from the state of its run."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, cast

from hpcmtl.errors import ExitCode, InputError, Problem
from hpcmtl.results.history import OPEN
from hpcmtl.results.outcome.affinity import affinity_of
from hpcmtl.results.outcome.summary import JobResult, TaskResult, from_dict
from hpcmtl.results.undefined import from_nulls, reasons, with_nulls

if TYPE_CHECKING:
    from datetime import datetime

    from hpcmtl.jobfile.schema import Job
    from hpcmtl.pipeline.run.resume_point import ResumePoint
    from hpcmtl.results.history import TaskHistory
    from hpcmtl.results.outcome.summary import JobStatus, RunAttempt, TaskStatus
    from hpcmtl.results.run_state import RunState


def read_result(resume_point: ResumePoint) -> JobResult:
    """Returns the result of a complete run from its completion record.

    Raises:
        InputError: the record cannot be read.
    """
    assert resume_point.directory is not None
    file = resume_point.directory.results_file
    try:
        result = from_dict(json.loads(file.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        message = f"all tasks are complete by the ledger, but this record cannot be read: {error}"
        raise InputError([Problem(str(file), message)]) from error
    return replace(result, directory=str(resume_point.directory.path))


def result_of(job: Job, state: RunState, started: datetime, seconds: float, attempt: RunAttempt) -> JobResult:
    """Returns the result of a job at its end.

    Args:
        job: the job with all tasks that it had in the end.
        state: state of its run.
        started: time at which the attempt began.
        seconds: seconds that the attempt took.
        attempt: number and name of the attempt.
    """
    tasks = tuple(task_result(name, task.kind, state.task(name)) for name, task in job.tasks.items())
    status: JobStatus = "stopped"
    if all(task.status == "complete" for task in tasks):
        status = "complete"
    elif any(task.status == "failed" for task in tasks):
        status = "failed"
    elif all(task.status != "stopped" for task in tasks):
        status = "incomplete"
    return JobResult(
        job=job.job,
        status=status,
        started=started.astimezone().isoformat(timespec="seconds"),
        seconds=seconds,
        ranks=job.ranks,
        tasks=tasks,
        **attempt.to_event(),
    )


def exit_code(result: JobResult) -> ExitCode:
    """Returns the exit code for the status of a job."""
    return {
        "complete": ExitCode.COMPLETE,
        "failed": ExitCode.TASK_FAILED,
        "incomplete": ExitCode.TASK_FAILED,
        "stopped": ExitCode.STOPPED,
    }[result.status]


def task_result(name: str, kind: str, task: TaskHistory) -> TaskResult:
    """Returns the result of a task so far; one that has not ended counts as stopped."""
    layers = task.outcomes
    last = layers[-1] if layers else None
    metrics = {
        metric: value for layer in layers for metric, value in from_nulls(layer.metrics, layer.undefined).items()
    }
    return TaskResult(
        name=name,
        kind=kind,
        status="stopped" if task.status in OPEN else cast("TaskStatus", task.status),
        layers=task.layers_done,
        ranks=tuple(layer.ranks for layer in layers),
        engine=last.engine if last else "",
        engine_reason=last.engine_reason if last else "",
        compression=last.compression if last else "none",
        seconds=sum(layer.seconds for layer in layers),
        steps=sum(layer.steps for layer in layers),
        metrics=with_nulls(metrics),
        undefined=reasons(metrics),
        tables={table: rows for layer in layers for table, rows in layer.tables.items()},
        message=_message(task),
        affinity=affinity_of(layer.facts for layer in layers),
    )


def _message(task: TaskHistory) -> str:
    """Returns the reason why a task did not complete."""
    if task.status not in OPEN:
        return task.message
    if task.stopped:
        return "stopped with a checkpoint"
    return "paused" if task.paused else ""
