"""Reads the facts of a run from its directory, whether the run goes on, ended, failed or has not begun."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import yaml

from hpcmtl.errors import InputError, Problem
from hpcmtl.jobfile.yaml_loaders import FastLoader
from hpcmtl.layerplan.solve.bounds import gap
from hpcmtl.report.facts.notable import notable_events
from hpcmtl.report.facts.time_spent import time_spent
from hpcmtl.report.facts.timeline import timeline_of
from hpcmtl.report.facts.values import GanttPiece, GraphEdge, PlanFigures, RunOverview, RunSummary, TaskFacts
from hpcmtl.results.history import TaskHistory
from hpcmtl.results.ledger import read_events
from hpcmtl.results.outcome.affinity import affinity_of
from hpcmtl.results.outcome.record import record_of

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from hpcmtl.report.facts.timeline import Timeline
    from hpcmtl.results.rundir.directory import RunDirectory


def read_overview(run: RunDirectory) -> RunOverview:
    """Returns the facts of a run.

    Raises:
        InputError: the directory has neither ledger nor plan, or one of its files is damaged.
    """
    if not run.ledger_file.exists() and not run.plan_file.exists():
        missing = f"it has neither {run.plan_file.name} nor {run.ledger_file.name}"
        raise InputError([Problem(str(run.path), f"this is no run directory: {missing}")])
    entries = read_events(run.ledger_file) if run.ledger_file.exists() else []
    course, job = timeline_of(entries), read_job(run)
    plan, planned = _plan_of(run.plan_file)
    tasks = _tasks(course, job, plan)
    environment = _object_in(run.environment_file)
    return RunOverview(
        summary=_summary(run, course, tasks, _Context(job, plan, environment)),
        tasks=tasks,
        edges=_edges(job, run.job_file),
        plan=plan,
        planned=planned,
        actual=course.pieces,
        time=time_spent(entries, course),
        notable=notable_events(entries, course),
        environment=environment,
    )


class _Context:
    """Files of a run beside its ledger."""

    def __init__(self, job: Mapping[str, Any], plan: PlanFigures | None, environment: Mapping[str, Any]) -> None:
        self.job, self.plan, self.environment = job, plan, environment


def _summary(run: RunDirectory, course: Timeline, tasks: tuple[TaskFacts, ...], context: _Context) -> RunSummary:
    state, last = course.state, course.attempts[-1] if course.attempts else None
    record = record_of(run, state.attempt) or {}
    hosts = context.environment.get("hosts")
    planned = 0 if context.plan is None else context.plan.ranks
    return RunSummary(
        job=state.job or str(context.job.get("job", run.path.name)),
        status=state.status,
        message=str(record.get("message", "")),
        attempts=course.attempts,
        seconds=sum(each.seconds for each in course.attempts),
        rank_seconds=state.rank_seconds,
        ranks=planned if last is None else last.ranks,
        hosts=tuple(dict.fromkeys(map(str, hosts))) if isinstance(hosts, list) else (),
        tasks=len(tasks),
        complete=sum(task.status == "complete" for task in tasks),
    )


def _tasks(course: Timeline, job: Mapping[str, Any], plan: PlanFigures | None) -> tuple[TaskFacts, ...]:
    described, histories = job.get("tasks", {}), course.state.tasks
    layers = {} if plan is None else plan.layers
    names = dict.fromkeys([*described, *layers, *histories])
    kinds = {name: str(values.get("kind", "")) for name, values in described.items() if isinstance(values, dict)}
    return tuple(
        _task(name, kinds.get(name, ""), histories.get(name, TaskHistory()), layers.get(name, 0)) for name in names
    )


def _task(name: str, kind: str, past: TaskHistory, layers: int) -> TaskFacts:
    last = past.outcomes[-1] if past.outcomes else None
    return TaskFacts(
        name=name,
        kind=kind,
        status=past.status,
        message=past.message,
        layers=past.layers or layers,
        layers_done=past.layers_done,
        seconds=sum(over.seconds for over in past.outcomes),
        rank_seconds=sum(over.ranks * over.seconds for over in past.outcomes),
        steps=sum(over.steps for over in past.outcomes),
        ranks=tuple(over.ranks for over in past.outcomes),
        engine="" if last is None else last.engine,
        metrics={} if last is None else last.metrics,
        undefined={} if last is None else last.undefined,
        affinity=affinity_of(over.facts for over in past.outcomes),
    )


def _edges(job: Mapping[str, Any], file: Path) -> tuple[GraphEdge, ...]:
    found = []
    try:
        for name, task in job.get("tasks", {}).items():
            for producer, need in task.get("needs", {}).items():
                kind, mode = str(need.get("kind", "")), str(need.get("mode", "sync"))
                found.append(GraphEdge(producer=str(producer), consumer=str(name), kind=kind, mode=mode))
    except AttributeError as error:
        raise InputError(
            [Problem(str(file), "this is not the job of a run: `tasks` and `needs` are mappings")]
        ) from error
    return tuple(found)


def _plan_of(file: Path) -> tuple[PlanFigures | None, tuple[GanttPiece, ...]]:
    """Returns the figures of a plan and its pieces; None and none without a file."""
    values = _object_in(file)
    if not values:
        return None, ()
    try:
        figures = PlanFigures(
            policy=str(values["policy"]),
            ranks=int(values["ranks"]),
            makespan=float(values["makespan"]),
            lower_bound=float(values["lower_bound"]),
            gap=float(values.get("gap", gap(float(values["makespan"]), float(values["lower_bound"])))),
            utilisation=float(values["utilisation"]),
            critical=frozenset(task["name"] for task in values["tasks"] if task["critical"]),
            layers={str(task["name"]): int(task["layers"]) for task in values["tasks"]},
        )
        return figures, tuple(_planned(task) for task in values["tasks"])
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        text = f"this is no layer plan ({type(error).__name__}: {error}); the file was changed after it was written"
        raise InputError([Problem(str(file), text)]) from error


def _planned(task: Mapping[str, Any]) -> GanttPiece:
    first, width = int(task["first_rank"]), int(task["width"])
    return GanttPiece(
        task=str(task["name"]),
        first_rank=first,
        last_rank=first + width - 1,
        ranks=width,
        start=float(task["start"]),
        end=float(task["end"]),
    )


def read_job(run: RunDirectory) -> Mapping[str, Any]:
    """Returns the job of a run as plain values; empty without a job file.

    Raises:
        InputError: the file cannot be read.
    """
    file = run.job_file
    if not file.exists():
        return {}
    try:
        values = yaml.load(file.read_text(encoding="utf-8"), FastLoader)  # noqa: S506 - a safe loader; the run wrote the file
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise InputError([Problem(str(file), f"the job of this run cannot be read: {error}")]) from error
    if not isinstance(values, dict) or not isinstance(values.get("tasks"), dict):
        raise InputError([Problem(str(file), "this is not the job of a run: it has no tasks")])
    return values


def _object_in(file: Path) -> Mapping[str, Any]:
    """Returns the object in a JSON file; an empty one without a file."""
    if not file.exists():
        return {}
    try:
        values = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError([Problem(str(file), f"the file is damaged: {error}")]) from error
    if not isinstance(values, dict):
        raise InputError([Problem(str(file), "the file is damaged: a JSON object was expected")])
    return values
