"""What became of a job, from what its dispatcher knows at the end."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from hpcmtl.errors import InputError, Problem
from hpcmtl.results.outcome.summary import JobResult, TaskResult, from_dict

if TYPE_CHECKING:
    from datetime import datetime

    from hpcmtl.dispatch.coordinator.dispatcher import Dispatcher
    from hpcmtl.dispatch.coordinator.state import TaskState
    from hpcmtl.jobfile.schema import Job
    from hpcmtl.pipeline.run.resume_point import ResumePoint
    from hpcmtl.results.outcome.summary import JobStatus, RunAttempt


def read_result(resume_point: ResumePoint) -> JobResult:
    """The record of a run that is complete.

    Raises:
        InputError: it cannot be read.
    """
    assert resume_point.directory is not None
    file = resume_point.directory.results_file
    try:
        return from_dict(json.loads(file.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        message = f"all tasks are complete by the ledger, but this record cannot be read: {error}"
        raise InputError([Problem(str(file), message)]) from error


def result_of(job: Job, dispatcher: Dispatcher, started: datetime, seconds: float, attempt: RunAttempt) -> JobResult:
    """The result of a job that has ended.

    Args:
        job: with all tasks that it had in the end.
        dispatcher: of the job.
        started: when.
        seconds: that it took.
        attempt: which one of the run.
    """
    tasks = tuple(_task_result(dispatcher.tasks[name]) for name in job.tasks)
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


def _task_result(state: TaskState) -> TaskResult:
    outcomes = [outcome for _, outcome in state.outcomes]
    last = outcomes[-1] if outcomes else None
    metrics = {name: value for outcome in outcomes for name, value in outcome.metrics.items()}
    return TaskResult(
        name=state.plan.name,
        kind=state.plan.kind,
        status=state.status or "stopped",
        layers=state.layers_done,
        ranks=tuple(width for width, _ in state.outcomes),
        engine=last.engine if last else "",
        engine_reason=last.engine_reason if last else "",
        compression=last.compression if last else "none",
        seconds=sum(outcome.seconds for outcome in outcomes),
        steps=sum(outcome.steps for outcome in outcomes),
        metrics=metrics,
        message=state.message,
    )
