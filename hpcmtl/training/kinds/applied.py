"""The base of the kinds that run a trained network: extract, predict and evaluate."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, TypeVar

from hpcmtl.errors import nearest
from hpcmtl.jobfile.inputs import by_input
from hpcmtl.jobfile.kind_facts import KindFacts
from hpcmtl.jobfile.kinds import FrameworkNeeds, kind_of
from hpcmtl.jobfile.views import JobView
from hpcmtl.jobfile.work import Work
from hpcmtl.networks.input_values import other_inputs
from hpcmtl.training.kinds.base import BaseKind
from hpcmtl.training.kinds.fit import check_fit
from hpcmtl.training.kinds.input_arrays import input_path, sample_shapes
from hpcmtl.training.kinds.input_size import input_size, network_size
from hpcmtl.training.kinds.schemas import Applied

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from hpcmtl.jobfile.arrays import ArraySpec, KeyedReference
    from hpcmtl.jobfile.fields import DeviceName
    from hpcmtl.jobfile.findings import Finding
    from hpcmtl.jobfile.schema import Job
    from hpcmtl.jobfile.transforms import Transform
    from hpcmtl.networks.description import NetworkDescription
    from hpcmtl.networks.objective import Objective

APPLIED_BATCH = 256
"""Rows of a step of a task without `batch_size`."""


AppliedT = TypeVar("AppliedT", bound=Applied)


class AppliedKind(BaseKind[AppliedT]):
    """A kind that runs the network of one task that it needs over samples; see `TaskKind`.

    Attributes:
        reads_targets: whether its tasks read the targets of the network as well.
    """

    facts: ClassVar[KindFacts] = KindFacts(runs_network=True)
    reads_targets: ClassVar[bool] = False

    def framework(self, job: Job, name: str) -> str | None:
        """See `TaskKind`; the framework that trained the network."""
        producer = self.applied_to(job, name)
        return kind_of(job, producer).framework(job, producer)

    def device(self, job: Job, name: str) -> DeviceName | None:
        """See `TaskKind`."""
        return self.task(job, name).device or job.defaults.device

    def own_references(self, job: Job, name: str) -> Iterator[KeyedReference]:
        """See `TaskKind`."""
        for each, reference in self._own_inputs(job, name).items():
            yield input_path(each), reference

    def references(self, job: Job, name: str) -> Iterator[KeyedReference]:
        """See `TaskKind`."""
        for each, reference in self.network_inputs(job, name).items():
            yield input_path(each), reference

    def views(self, job: Job, name: str) -> tuple[JobView, ...]:
        """See `TaskKind`; the one source of the network whose samples the task reads."""
        return (JobView(self.trained_job(job, name)),)

    def trained_job(self, job: Job, name: str) -> Job:
        """Returns the job in which the network was trained on the one source whose samples the task reads."""
        producer, source = self.applied_to(job, name), self.task(job, name).source
        views = kind_of(job, producer).views(job, producer)
        return next((view.job for view in views if view.source == source), job)

    def edge_checks(self, job: Job, name: str) -> Iterator[Finding]:
        """See `TaskKind`."""
        needs = self.task(job, name).needs
        given = [producer for producer, need in needs.items() if need.kind == "parameters"]
        if len(given) != 1:
            text = f"{self.name} runs the network of exactly one task: write `needs: {{TASK: parameters}}`"
            yield ("needs",), f"{text}; found {len(given)} such edges"
            return
        if not kind_of(job, given[0]).objectives(job, given[0]):
            text = f"{given[0]} has the parameters of an earlier run, whose inputs and targets are not in this job"
            yield ("needs",), f"{text}; `hpcmtl.load` runs its network, and a train or joint task takes it over"
            return
        sources = [view.source for view in kind_of(job, given[0]).views(job, given[0]) if view.source]
        source, task = self.task(job, name).source, self.task(job, name)
        if source is not None and source not in sources:
            text = f"{given[0]} was trained on no source of this name"
            yield ("source",), f"{text}{nearest(source, sources) if sources else '; leave it out'}"
        elif sources and source is None and (task.input is None or self.reads_targets):
            yield ("source",), f"is missing: {given[0]} was trained on several sources, {' and '.join(sources)}"

    def shape_checks(self, job: Job, name: str, arrays: Mapping[str, ArraySpec]) -> Iterator[Finding]:
        """See `TaskKind`; the targets were compared with the outputs where the network is trained."""
        producer = self.applied_to(job, name)
        trained = kind_of(job, producer).network_inputs(job, producer)
        inputs = self.network_inputs(job, name)
        if (problem := other_inputs(trained, inputs)) is not None:
            yield ("input",), problem
            return
        yield from check_fit(self.network(job, name), inputs, (), arrays)

    def applied_to(self, job: Job, name: str) -> str:
        """Returns the name of the task whose network this one runs: the producer of its one `parameters` edge."""
        needs = self.task(job, name).needs
        return next(producer for producer, need in needs.items() if need.kind == "parameters")

    def network(self, job: Job, name: str) -> NetworkDescription:
        """See `TaskKind`."""
        producer = self.applied_to(job, name)
        return kind_of(job, producer).network(job, producer)

    def _own_inputs(self, job: Job, name: str) -> Mapping[str, str]:
        """Returns the inputs that the task itself names; none if it takes those that the network was trained on."""
        own = self.task(job, name).input
        return {} if own is None else by_input(own)

    def network_inputs(self, job: Job, name: str) -> Mapping[str, str]:
        """See `TaskKind`."""
        producer = self.applied_to(job, name)
        trained = self.trained_job(job, name)
        return self._own_inputs(job, name) or kind_of(job, producer).network_inputs(trained, producer)

    def objectives(self, job: Job, name: str) -> tuple[Objective, ...]:
        """See `TaskKind`."""
        producer = self.applied_to(job, name)
        return kind_of(job, producer).objectives(job, producer)

    def transforms(self, job: Job, name: str) -> Mapping[str, tuple[Transform, ...]]:
        """See `TaskKind`."""
        producer = self.applied_to(job, name)
        return kind_of(job, producer).transforms(job, producer)

    def framework_needs(self, job: Job, name: str, arrays: Mapping[str, ArraySpec]) -> FrameworkNeeds:
        """See `TaskKind`."""
        samples = sample_shapes(self.network_inputs(job, name), arrays)
        return FrameworkNeeds(network=self.network(job, name), samples=samples)

    def work(self, job: Job, name: str, arrays: Mapping[str, ArraySpec]) -> Work:
        """See `TaskKind`; one pass over the samples."""
        references = [reference for _, reference in self.references(job, name)]
        rows, sample_bytes = input_size(references, arrays, self.split(job, name))
        size = network_size(self.run_network(job, name), sample_shapes(self.network_inputs(job, name), arrays))
        return Work(
            samples=rows,
            passes=1,
            batch_size=self.task(job, name).batch_size or APPLIED_BATCH,
            sample_bytes=sample_bytes,
            parameters=size.parameters,
            trains=False,
            multiplications=size.multiplications,
        )

    def split(self, job: Job, name: str) -> str | None:
        """Returns the split whose samples are run; None for all samples."""
        return None

    def run_network(self, job: Job, name: str) -> NetworkDescription:
        """Returns the piece of the network that is run, for the cost of running it."""
        return self.network(job, name)
