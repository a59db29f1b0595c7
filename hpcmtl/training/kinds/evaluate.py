"""Evaluate tasks: metrics of a network on one split."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from hpcmtl.jobfile.tasks import SPLITS
from hpcmtl.training.kinds.applied import AppliedKind
from hpcmtl.training.kinds.fit import check_fit
from hpcmtl.training.kinds.input_arrays import rows_of_inputs
from hpcmtl.training.kinds.known_names import check_metrics, check_weighted
from hpcmtl.training.kinds.schemas import Evaluate
from hpcmtl.training.kinds.weights import given_weights, weights_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from hpcmtl.jobfile.arrays import ArraySpec, KeyedReference
    from hpcmtl.jobfile.findings import Finding
    from hpcmtl.jobfile.kinds import TaskKind
    from hpcmtl.jobfile.schema import Job
    from hpcmtl.training.session import Session, SessionContext


_EXAMPLES = {"l2": "mse", "l1": "mse", "huber": "mse", "sigmoid_bce": "auc"}
"""A metric for a loss, where it is not accuracy."""


class EvaluateKind(AppliedKind[Evaluate]):
    """See `TaskKind`."""

    schema = Evaluate
    reads_targets = True

    def references(self, job: Job, name: str) -> Iterator[KeyedReference]:
        """See `TaskKind`; the targets are those of the task that trained the network."""
        yield from super().references(job, name)
        for objective in self.objectives(self.trained_job(job, name), name):
            yield ("needs",), objective.target
            if objective.mask is not None:
                yield ("needs",), objective.mask
            if objective.query is not None:
                yield ("needs",), objective.query
        weights = weights_of(job, name)
        if weights is not None:
            yield ("needs",), weights

    def metrics(self, job: Job, name: str) -> tuple[str, ...]:
        """See `TaskKind`."""
        return self.task(job, name).metrics

    def network_checks(self, job: Job, name: str) -> Iterator[Finding]:
        """See `TaskKind`."""
        yield from super().network_checks(job, name)
        if not self.task(job, name).metrics and not any(each.metrics for each in self.objectives(job, name)):
            text = f"neither this task nor {self.applied_to(job, name)} has `metrics`, so that it would compute nothing"
            examples = sorted({_EXAMPLES.get(each.loss, "accuracy") for each in self.objectives(job, name)})
            yield ("metrics",), f"{text}: write which, such as `metrics: [{', '.join(examples)}]`"
        yield from check_weighted(("metrics",), self.task(job, name).metrics, given_weights(job, name))

    def own_checks(self, job: Job, name: str) -> Iterator[Finding]:
        """See `TaskKind`."""
        yield from check_metrics(("metrics",), self.task(job, name).metrics, tables=True)

    def shape_checks(self, job: Job, name: str, arrays: Mapping[str, ArraySpec]) -> Iterator[Finding]:
        """See `TaskKind`; its own metrics are compared with each objective, and a split must have samples."""
        yield from super().shape_checks(job, name, arrays)
        task, inputs = self.task(job, name), self.network_inputs(job, name)
        counts = rows_of_inputs(inputs, arrays).split
        if counts is not None and counts[SPLITS.index(task.split)] == 0:
            there = [split for split, count in zip(SPLITS, counts, strict=True) if count]
            text = f"{next(iter(inputs.values()))} has no samples in the {task.split} split"
            yield ("split",), f"{text}; samples are in {' and '.join(there)}"
        read = self.objectives(self.trained_job(job, name), name)
        own = tuple(replace(each, metrics=task.metrics) for each in read if task.metrics)
        for path, problem in check_fit(self.network(job, name), inputs, own, arrays):
            if path[-1] == "metrics":
                yield ("metrics",), problem

    def split(self, job: Job, name: str) -> str | None:
        """See `AppliedKind`."""
        return self.task(job, name).split

    def session(self, context: SessionContext) -> Session:
        """See `TaskKind`."""
        from hpcmtl.training.sessions.evaluate import EvaluateSession

        return EvaluateSession(context, self.task(context.job, context.task))


KIND: TaskKind = EvaluateKind()
