"""The base of the kinds that read samples of one or several sources; each source alone is a plain task of a view."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from hpcmtl.jobfile.inputs import by_input
from hpcmtl.jobfile.views import JobView
from hpcmtl.training.kinds.base import BaseKind
from hpcmtl.training.kinds.fit import objective_path
from hpcmtl.training.kinds.input_arrays import input_path, rows_of_inputs
from hpcmtl.training.kinds.sampling import sampler_reference
from hpcmtl.training.kinds.schemas import Trained
from hpcmtl.training.kinds.several_sources import merged, mixture_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from hpcmtl.data.mixture import Mixture
    from hpcmtl.jobfile.arrays import ArraySpec, KeyedReference
    from hpcmtl.jobfile.schema import Job
    from hpcmtl.jobfile.tasks import TaskBase
    from hpcmtl.networks.objective import Objective
    from hpcmtl.training.kinds.source_schemas import SourceKeys

SourcedT = TypeVar("SourcedT", bound=Trained)


class SourcedKind(BaseKind[SourcedT]):
    """A kind whose tasks may have `sources`; see `TaskKind`.

    A kind derived from it says what a task does with a single source. What a task does with several is what it does
    with each of them in the views of its job.
    """

    def placed(self, job: Job, name: str, folder: Path) -> TaskBase:
        """See `TaskKind`."""
        task = self.task(job, name)
        if task.increment is None:
            return task
        path = str((folder / task.increment.new_since).resolve())
        return task.model_copy(update={"increment": task.increment.model_copy(update={"new_since": path})})

    def earlier_run(self, job: Job, name: str) -> str | None:
        """See `TaskKind`."""
        increment = self.task(job, name).increment
        return None if increment is None else increment.new_since

    def views(self, job: Job, name: str) -> tuple[JobView, ...]:
        """See `TaskKind`."""
        task = self.task(job, name)
        if not task.sources:
            return (JobView(job),)
        seen = {source: self.of_source(task, keys) for source, keys in task.sources.items()}
        return tuple(
            JobView(job.model_copy(update={"tasks": {**job.tasks, name: each}}), source)
            for source, each in seen.items()
        )

    def of_source(self, task: SourcedT, source: SourceKeys) -> SourcedT:
        """Returns a task with several sources as one that reads one of them alone."""
        own = {"input": source.input, "sample_weights": source.sample_weights}
        return task.model_copy(update={"sources": {}, "mixture": None, **own})

    def own_objectives(self, job: Job, name: str) -> tuple[Objective, ...]:
        """Returns the objectives of a task that reads a single source."""
        raise NotImplementedError(f"kind {self.name} does not say what its tasks are trained for")

    def objectives(self, job: Job, name: str) -> tuple[Objective, ...]:
        """See `TaskKind`; one that several sources have labels of has the target of the first of them."""
        found = merged(each for view in self.views(job, name) for each in self.own_objectives(view.job, name))
        order = self.order_of_objectives(job, name)
        return tuple(found[each] for each in order if each in found)

    def order_of_objectives(self, job: Job, name: str) -> tuple[str, ...]:
        """Returns the names of the objectives, in the order of the outputs of the network."""
        raise NotImplementedError(f"kind {self.name} does not say what its tasks are trained for")

    def own_references(self, job: Job, name: str) -> Iterator[KeyedReference]:
        """See `TaskKind`."""
        for view in self.views(job, name):
            for path, reference in self.references_of_source(view.job, name):
                yield view.path(path), reference

    def references(self, job: Job, name: str) -> Iterator[KeyedReference]:
        """See `TaskKind`; a head that comes from a task brings the target of that task along."""
        for view in self.views(job, name):
            yield from ((view.path(path), reference) for path, reference in self._read_of_source(view.job, name))

    def _read_of_source(self, job: Job, name: str) -> Iterator[KeyedReference]:
        """Yields all arrays that a task with a single source reads, with their keys."""
        yield from dict.fromkeys((*self.references_of_source(job, name), *self._labels_of_source(job, name)))

    def _labels_of_source(self, job: Job, name: str) -> Iterator[KeyedReference]:
        for objective in self.own_objectives(job, name):
            yield objective_path(objective, "target"), objective.target
            if objective.mask is not None:
                yield objective_path(objective, "mask"), objective.mask
            if objective.query is not None:
                yield objective_path(objective, "query"), objective.query

    def references_of_source(self, job: Job, name: str) -> Iterator[KeyedReference]:
        """Yields the arrays that a task with a single source names, with their keys."""
        task = self.task(job, name)
        if task.input is not None:
            yield from ((input_path(each), read) for each, read in self.network_inputs(job, name).items())
        if task.sample_weights:
            yield ("sample_weights",), task.sample_weights
        if (named := sampler_reference(task.sampler)) is not None:
            yield named

    def network_inputs(self, job: Job, name: str) -> Mapping[str, str]:
        """See `TaskKind`; several sources have samples of one shape, so that the first stands for them."""
        found = self.task(self.views(job, name)[0].job, name).input
        assert found is not None, "the schema asks for it"
        return by_input(found)

    def mixture(self, job: Job, name: str, arrays: Mapping[str, ArraySpec]) -> Mixture | None:
        """Returns the mixture of several sources; None where only a run shows how many samples one of them has."""
        task, views = self.task(job, name), self.views(job, name)
        splits = [rows_of_inputs(self.network_inputs(view.job, name), arrays).split for view in views]
        sizes = [split[0] for split in splits if split is not None]
        return mixture_of(task, task.batch_size or job.defaults.batch_size, sizes) if len(sizes) == len(views) else None
