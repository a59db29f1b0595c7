"""A run as runs of MLflow, by the MLflow that the user has installed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hpcmtl.errors import EnvironmentUnfitError
from hpcmtl.report.facts.read import read_overview
from hpcmtl.results.curves.reader import read_curves
from hpcmtl.results.curves.series import series_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from hpcmtl.report.facts.values import TaskFacts
    from hpcmtl.results.curves.series import Series
    from hpcmtl.results.rundir.directory import RunDirectory

_BATCH = 1000
"""Largest number of metric values, and of parameters a tenth of it, in one request of MLflow."""


@dataclass(frozen=True)
class LoggedRuns:
    """Where the runs went.

    Attributes:
        location: tracking URI of MLflow.
        experiment: name of the experiment.
        runs: number of MLflow runs.
    """

    location: str
    experiment: str
    runs: int


def log_run(run: RunDirectory, experiment: str | None = None) -> LoggedRuns:
    """Logs each task of a run that has ended or has curves as one run of MLflow.

    Args:
        run: the run directory.
        experiment: name of the experiment; that of the job if None.

    Raises:
        EnvironmentUnfitError: MLflow is not installed, or refuses to work.
        InputError: the run directory is damaged.
    """
    mlflow = _mlflow()
    overview, curves = read_overview(run), read_curves(run)
    name = experiment or overview.summary.job
    tasks = [task for task in overview.tasks if task.status not in _NOT_BEGUN or task.name in curves]
    try:
        client = mlflow.MlflowClient()
        found = client.get_experiment_by_name(name)
        number = client.create_experiment(name) if found is None else found.experiment_id
        for task in tasks:
            _log_task(mlflow, client, number, run, task, series_of(curves.get(task.name, ())))
        location = str(mlflow.get_tracking_uri())
    except mlflow.exceptions.MlflowException as error:
        raise EnvironmentUnfitError(f"MLflow at {mlflow.get_tracking_uri()} says: {error}") from error
    return LoggedRuns(location, name, len(tasks))


_NOT_BEGUN = frozenset({"waiting", "skipped"})
_ENDS = {"complete": "FINISHED", "failed": "FAILED", "cancelled": "KILLED"}


def _mlflow() -> Any:
    try:
        import mlflow
    except ImportError as error:
        text = f"`hpcmtl export mlflow` needs MLflow: pip install mlflow-skinny, or mlflow ({error})"
        raise EnvironmentUnfitError(text) from error
    return mlflow


def _log_task(  # noqa: PLR0917 - one request for each kind of value
    mlflow: Any, client: Any, experiment: str, run: RunDirectory, task: TaskFacts, series: Mapping[str, Series]
) -> None:
    created = client.create_run(experiment, run_name=f"{run.path.name}.{task.name}")
    number, entities = created.info.run_id, mlflow.entities
    values = {"kind": task.kind, "engine": task.engine, "layers": task.layers, "ranks": max(task.ranks, default=0)}
    params = [entities.Param(name, str(value)) for name, value in values.items() if value not in {"", 0}]
    tags = [entities.RunTag("hpcmtl.run", run.path.name), entities.RunTag("hpcmtl.task", task.name)]
    client.log_batch(number, params=params, tags=tags)
    points = [entities.Metric(*each) for each in _points(task, series)]
    for first in range(0, len(points), _BATCH):
        client.log_batch(number, metrics=points[first : first + _BATCH])
    client.set_terminated(number, _ENDS.get(task.status, "RUNNING"))


def _points(task: TaskFacts, series: Mapping[str, Series]) -> Iterator[tuple[str, float, int, int]]:
    """Yields name, value, time in milliseconds since 1970, and step; names in MLflow have neither ``@`` nor ``:``."""
    newest = 0.0
    for name, each in series.items():
        newest = max(newest, *each.times)
        for step, value, at in zip(each.steps, each.values, each.times, strict=True):
            yield _allowed(name), value, int(at * 1000), step
    for name, final in task.metrics.items():
        if final is not None and name not in series:
            yield _allowed(name), final, int(newest * 1000), task.steps


def _allowed(name: str) -> str:
    return name.replace("@", "_at_").replace(":", ".")
