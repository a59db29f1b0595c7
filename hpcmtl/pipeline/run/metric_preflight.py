"""Tries the metrics of the user's on a few rows of the shapes that they will get, before the job runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hpcmtl.errors import InputError
from hpcmtl.jobfile.arrays import UNKNOWN
from hpcmtl.jobfile.kinds import kind_of
from hpcmtl.jobfile.metrics import is_own
from hpcmtl.training.evaluation.own import TrialRows, import_own_metric, try_own_metric
from hpcmtl.training.kinds.fit import objective_path

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from hpcmtl.jobfile.findings import Finding
    from hpcmtl.networks.objective import Objective
    from hpcmtl.networks.shapes import Shape
    from hpcmtl.pipeline.prepare import Prepared
    from hpcmtl.training.network_checks import NetworkChecks


def metric_findings(prepared: Prepared, tasks: Collection[str], networks: NetworkChecks) -> Iterator[Finding]:
    """Yields functions under `metrics` that cannot be imported, fail on a few rows, or return no number.

    Where the shapes of the rows are not known, the function is only imported.

    Args:
        prepared: the job.
        tasks: names of the tasks.
        networks: facts about the networks, and the tasks of which only the input is looked at.
    """
    job, said = prepared.job, set[str]()
    for name in tasks:
        kind = kind_of(job, name)
        if kind.framework(job, name) is None or name in networks.partly:
            continue
        asked, objectives = kind.metrics(job, name), kind.objectives(job, name)
        made = networks.facts[name].outputs if name in networks.facts else (None,) * len(objectives)
        for objective, shape in zip(objectives, made, strict=False):
            path = ("metrics",) if asked else objective_path(objective, "metrics")
            for metric in filter(is_own, asked or objective.metrics):
                if (text := _problem(prepared, metric, objective, shape)) is not None and text not in said:
                    said.add(text)
                    yield ("tasks", name, *path), text


def _problem(prepared: Prepared, metric: str, objective: Objective, made: Shape | None) -> str | None:
    """Returns why a function of the user's cannot be a metric of an objective; None if it can, as far as is known."""
    target = prepared.arrays.get(objective.target, UNKNOWN)
    try:
        import_own_metric(metric)
        if made is not None and target.shape is not None:
            first = 1 if objective.per_token else 0  # a row is a token
            classes = None if target.kind == "f" else target.classes or 2
            partly = objective.is_partly_labelled
            try_own_metric(metric, TrialRows(made[first:], target.shape[first:], classes=classes, partly=partly))
    except InputError as error:
        return "; ".join(f"{each.where}: {each.message}" for each in error.problems)
    return None
