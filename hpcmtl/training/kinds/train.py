"""Train tasks: one network, one loss."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hpcmtl.networks.description import Leaf
from hpcmtl.networks.objective import MAIN, Objective
from hpcmtl.networks.parameter_mapping import ParameterMapping
from hpcmtl.training.kinds.known_names import check_metrics, check_own
from hpcmtl.training.kinds.schemas import Train
from hpcmtl.training.kinds.several_sources import check_single
from hpcmtl.training.kinds.trained import TrainedKind

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hpcmtl.frameworks.description import FrameworkDescription
    from hpcmtl.jobfile.arrays import KeyedReference
    from hpcmtl.jobfile.findings import Finding
    from hpcmtl.jobfile.kinds import TaskKind
    from hpcmtl.jobfile.schema import Job
    from hpcmtl.networks.description import NetworkDescription
    from hpcmtl.training.kinds.source_schemas import SourceKeys


class TrainKind(TrainedKind[Train]):
    """See `TaskKind`."""

    schema = Train

    def references_of_source(self, job: Job, name: str) -> Iterator[KeyedReference]:
        """See `TrainedKind`."""
        yield from super().references_of_source(job, name)
        task = self.task(job, name)
        if task.target is not None:
            yield ("target",), task.target
        if task.mask is not None:
            yield ("mask",), task.mask
        if task.query is not None:
            yield ("query",), task.query

    def own_checks(self, job: Job, name: str) -> Iterator[Finding]:
        """See `TaskKind`."""
        yield from super().own_checks(job, name)
        yield from check_single(self.task(job, name).sources)
        yield from check_metrics(("metrics",), self.task(job, name).metrics)

    def framework_checks(self, task: Train, framework: FrameworkDescription) -> Iterator[Finding]:
        """See `TrainedKind`."""
        yield from super().framework_checks(task, framework)
        yield from check_own(("loss",), task.loss, framework, "losses")
        yield from check_own(("model", "name"), task.model.name, framework, "models")

    def network(self, job: Job, name: str) -> NetworkDescription:
        """See `TaskKind`."""
        return Leaf(self.task(job, name).model)

    def of_source(self, task: Train, source: SourceKeys) -> Train:
        """See `TrainedKind`."""
        own = {"target": source.target, "mask": source.mask}
        return super().of_source(task, source).model_copy(update=own)

    def order_of_objectives(self, job: Job, name: str) -> tuple[str, ...]:
        """See `TrainedKind`."""
        return (MAIN,)

    def own_objectives(self, job: Job, name: str) -> tuple[Objective, ...]:
        """See `TrainedKind`."""
        task = self.task(job, name)
        assert task.target is not None, "the checks ask for it"
        labels = task.missing, task.mask, task.class_weights, task.label_smoothing or 0.0
        how = task.mean_over or "labelled", task.per_token, task.query
        return (Objective(MAIN, task.target, task.loss, 1.0, task.metrics, *labels, *how),)

    def parameter_mappings(self, job: Job, name: str) -> tuple[ParameterMapping, ...]:
        """See `TaskKind`; parameters keep their names."""
        task = self.task(job, name)
        producers = [producer for producer, need in task.needs.items() if need.kind == "parameters"]
        return tuple(ParameterMapping(producer, pattern=task.initialise.get(producer, "*")) for producer in producers)


KIND: TaskKind = TrainKind()
