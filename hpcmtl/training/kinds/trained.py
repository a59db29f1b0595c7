"""The base of the kinds that train a network: train and joint."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, TypeVar

from hpcmtl.data.mixture import epoch_samples as mixed_samples
from hpcmtl.frameworks.registry import UnknownFrameworkError, describe
from hpcmtl.jobfile.arrays import UNKNOWN
from hpcmtl.jobfile.inputs import by_input
from hpcmtl.jobfile.kind_facts import KindFacts
from hpcmtl.jobfile.kinds import FrameworkNeeds
from hpcmtl.jobfile.references import to_add
from hpcmtl.jobfile.schedules import check_schedule
from hpcmtl.jobfile.transforms import shape_problems
from hpcmtl.jobfile.work import Work
from hpcmtl.networks.description import input_names, input_values
from hpcmtl.training.frozen_patterns import phases, temporary
from hpcmtl.training.kinds.course import check_coupled_course, check_course, check_monitors
from hpcmtl.training.kinds.fit import check_fit, check_labels, check_weights, objective_path
from hpcmtl.training.kinds.input_arrays import (
    check_mixed,
    check_transformed,
    input_path,
    rows_of_inputs,
    sample_shapes,
    transform_path,
)
from hpcmtl.training.kinds.input_size import input_size, network_size
from hpcmtl.training.kinds.known_names import check_listed, check_own, check_smoothing, check_weighted
from hpcmtl.training.kinds.metric_fit import query_problems
from hpcmtl.training.kinds.sampling import check_sampler, epoch_samples
from hpcmtl.training.kinds.schemas import Trained
from hpcmtl.training.kinds.sequence_checks import check_sequences, check_unmixed
from hpcmtl.training.kinds.several_sources import (
    check_epoch,
    check_increment,
    check_keys,
    check_names,
    check_samples,
    check_target_shapes,
    with_batch_sizes,
)
from hpcmtl.training.kinds.sourced import SourcedKind

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from hpcmtl.frameworks.description import FrameworkDescription
    from hpcmtl.jobfile.arrays import ArraySpec, KeyedReference
    from hpcmtl.jobfile.fields import DeviceName
    from hpcmtl.jobfile.findings import Finding
    from hpcmtl.jobfile.schema import Job
    from hpcmtl.jobfile.tasks import TaskBase
    from hpcmtl.jobfile.transforms import Transform
    from hpcmtl.training.session import Session, SessionContext


TrainedT = TypeVar("TrainedT", bound=Trained)


class TrainedKind(SourcedKind[TrainedT]):
    """A kind that trains a network by optimizer steps of a whole group; see `TaskKind`.

    A kind derived from it has a network, objectives and parameter mappings of its own.
    """

    facts: ClassVar[KindFacts] = KindFacts(
        has_parameters=True, exchanges_parameters=True, has_learning_rate=True, stops_at_steps=True
    )

    def completed(self, job: Job, name: str) -> TaskBase:
        """See `TaskKind`; the default engine is the first of the framework, if the framework is known."""
        task = self.task(job, name)
        framework = self.known_framework(job, name)
        engine = framework.engines[0] if task.engine is None and framework is not None else task.engine
        return task.model_copy(update={"engine": engine, **with_batch_sizes(task)})

    def framework(self, job: Job, name: str) -> str:
        """See `TaskKind`."""
        return self.task(job, name).framework or job.defaults.framework

    def engine(self, job: Job, name: str) -> str | None:
        """See `TaskKind`."""
        return self.task(job, name).engine

    def device(self, job: Job, name: str) -> DeviceName | None:
        """See `TaskKind`."""
        return self.task(job, name).device or job.defaults.device

    def sample_weights(self, job: Job, name: str) -> str | None:
        """See `TaskKind`."""
        return self.task(job, name).sample_weights

    def transforms(self, job: Job, name: str) -> Mapping[str, tuple[Transform, ...]]:
        """See `TaskKind`."""
        given = by_input(self.task(job, name).transform)
        return {each: transforms for each, transforms in given.items() if transforms}

    def mapping_key(self, job: Job, name: str, producer: str) -> tuple[str, ...]:
        """See `TaskKind`."""
        return "initialise" if producer in self.task(job, name).initialise else "needs", producer

    def known_framework(self, job: Job, name: str) -> FrameworkDescription | None:
        """Returns the description of the task's framework; None if there is none of its name."""
        try:
            return describe(self.framework(job, name))
        except UnknownFrameworkError:
            return None

    def own_checks(self, job: Job, name: str) -> Iterator[Finding]:
        """See `TaskKind`."""
        task = self.task(job, name)
        yield from check_keys(task)
        has_origin = any(need.kind == "parameters" for need in task.needs.values()) or task.increment is not None
        yield from check_course(task, has_origin=has_origin)
        if task.increment is not None:
            yield from check_increment(task, [reference for _, reference in self.own_references(job, name)], job.data)
        framework = self.known_framework(job, name)
        if framework is not None:
            yield from self.framework_checks(task, framework)
        yield from check_transformed(self.network_inputs(job, name), self.transforms(job, name))
        if task.engine == "local" and task.ranks.min > 1:
            text = f"engine `local` is for one rank, but the task asks for at least {task.ranks.min}"
            yield ("ranks",), text
        if task.optimizer is not None:
            yield from check_schedule(task.optimizer, task.epochs)
        for producer, need in task.needs.items():
            if need.kind == "parameters" and need.live and not task.freeze:
                text = "an async edge renews frozen parameters, and this task freezes none"
                yield ("needs", producer), f"{text}: add `freeze` (e.g. [trunk.*]), or leave out `mode: async`"

    def framework_checks(self, task: TrainedT, framework: FrameworkDescription) -> Iterator[Finding]:
        """Yields names that the framework of the task does not know."""
        if task.optimizer is not None:
            yield from check_own(("optimizer", "name"), task.optimizer.name, framework, "optimizers")
            for pattern, group in task.optimizer.groups.items():
                if group.name is not None:
                    yield from check_own(("optimizer", "groups", pattern, "name"), group.name, framework, "optimizers")
        if task.engine is not None:
            yield from check_listed(("engine",), task.engine, framework, "engines")
        if task.compression is not None:
            yield from check_listed(("compression",), task.compression, framework, "compressions")

    def edge_checks(self, job: Job, name: str) -> Iterator[Finding]:
        """See `TaskKind`."""
        task = self.task(job, name)
        yield from check_coupled_course(job, name, task)
        given = [producer for producer, need in task.needs.items() if need.kind == "parameters"]
        for path, producer in self.origins(task):
            if producer not in given:
                text = f"{producer!r} is not among `needs` with kind parameters"
                yield path, f"{text}{to_add(job, producer, 'parameters', given)}"

    def origins(self, task: TrainedT) -> Iterator[KeyedReference]:
        """Yields the tasks that this one names as origins of parameters, with the keys that name them."""
        for producer in task.initialise:
            yield ("initialise", producer), producer

    def network_checks(self, job: Job, name: str) -> Iterator[Finding]:
        """See `TaskKind`."""
        framework = self.known_framework(job, name)
        yield from check_monitors(self.task(job, name), self.objectives(job, name))
        weights = next(filter(None, (self.sample_weights(view.job, name) for view in self.views(job, name))), None)
        for objective in self.objectives(job, name):
            if objective.label_smoothing and framework is not None:
                yield from check_smoothing(objective_path(objective, "label_smoothing"), objective.loss, framework)
            yield from check_weighted(objective_path(objective, "metrics"), objective.metrics, weights)

    def shape_checks(self, job: Job, name: str, arrays: Mapping[str, ArraySpec]) -> Iterator[Finding]:
        """See `TaskKind`."""
        views = self.views(job, name)
        found = [
            (view.path(path), text) for view in views for path, text in self.checks_of_source(view.job, name, arrays)
        ]
        yield from dict.fromkeys(found)
        if self.task(job, name).sources:
            inputs = {view.source: self.network_inputs(view.job, name) for view in views}
            yield from check_names(inputs) if input_names(self.network(job, name)) is None else ()
            yield from check_samples(inputs, arrays)
            yield from check_unmixed(self.task(job, name), arrays)
            yield from check_target_shapes({view.source: self.objectives(view.job, name) for view in views}, arrays)
            mixture = self.mixture(job, name, arrays)
            yield from () if mixture is None else check_epoch(mixture)

    def checks_of_source(self, job: Job, name: str, arrays: Mapping[str, ArraySpec]) -> Iterator[Finding]:
        """Yields arrays of a task with a single source that fit neither its network nor its targets."""
        task = self.task(job, name)
        inputs = self.network_inputs(job, name)
        consistency = self.consistency(job, name)
        yield from check_fit(self.network(job, name), inputs, self.objectives(job, name), arrays, consistency)
        yield from check_labels(self.objectives(job, name), arrays)
        for objective, text in query_problems(job, name, self.objectives(job, name), arrays):
            yield objective_path(objective, "query"), text
        first, split = next(iter(inputs.items())), rows_of_inputs(inputs, arrays).split
        if split and split[0] == 0:
            yield input_path(first[0]), f"{first[1]} has no samples in the train split"
        if split and split[1] == 0 and task.validate_every:
            text = f"{first[1]} has no samples in the val split"
            remedy = "add some, leave the metrics out, or write `validate_every: 0`"
            for each in self.objectives(job, name):
                if each.metrics:
                    yield objective_path(each, "metrics"), f"{text} for {' and '.join(each.metrics)}: {remedy}"
        yield from self._transform_checks(job, name, arrays)
        yield from check_sequences(task, self.network_inputs(job, name), self.transforms(job, name), arrays)
        yield from check_mixed(self.network_inputs(job, name), self.transforms(job, name))
        if task.sample_weights is not None:
            yield from check_weights(task.sample_weights, arrays.get(task.sample_weights, UNKNOWN))
        if task.sampler is not None:
            yield from check_sampler(task.sampler, self.objectives(job, name), arrays)

    def _transform_checks(self, job: Job, name: str, arrays: Mapping[str, ArraySpec]) -> Iterator[Finding]:
        """Yields transforms that the samples of an input cannot have."""
        inputs = self.network_inputs(job, name)
        for each, given in self.transforms(job, name).items():
            shape = arrays.get(inputs[each], UNKNOWN).shape
            if shape is not None:
                yield from ((transform_path(each), text) for text in shape_problems(given, shape))
            if input_values(self.network(job, name), each).integers:
                text = "the network takes integers, and transforms make float32 samples: leave them out"
                yield transform_path(each), text

    def framework_needs(self, job: Job, name: str, arrays: Mapping[str, ArraySpec]) -> FrameworkNeeds:
        """See `TaskKind`."""
        task = self.task(job, name)
        objectives, (first, *later) = self.objectives(job, name), phases(task.freeze, task.epochs)
        return FrameworkNeeds(
            network=self.network(job, name),
            samples=sample_shapes(self.network_inputs(job, name), arrays),
            objectives=objectives,
            consistency=self.consistency(job, name),
            targets=tuple(arrays.get(each.target, UNKNOWN) for each in objectives),
            optimizer=task.optimizer,
            freeze=first,
            frozen_for_now=temporary(task.freeze),
            later_freeze=tuple(later),
            accumulate=task.accumulate,
            precision=task.precision,
            sync_batchnorm=task.sync_batchnorm,
        )

    def work(self, job: Job, name: str, arrays: Mapping[str, ArraySpec]) -> Work:
        """See `TaskKind`; an epoch reads the train rows of input, targets and sample weights."""
        task, views = self.task(job, name), self.views(job, name)
        sizes = [
            input_size([reference for _, reference in self.references(view.job, name)], arrays, "train")
            for view in views
        ]
        rows, sample_bytes = sum(rows for rows, _ in sizes), max(each for _, each in sizes)
        if task.sampler is not None:
            rows = epoch_samples(task.sampler, self.objectives(job, name), rows, arrays)
        if task.sources and (mixture := self.mixture(job, name, arrays)) is not None:
            rows = mixed_samples(mixture)
        size = network_size(self.network(job, name), sample_shapes(self.network_inputs(job, name), arrays))
        return Work(
            samples=rows,
            passes=task.epochs,
            batch_size=task.batch_size or job.defaults.batch_size,
            sample_bytes=sample_bytes,
            parameters=size.parameters,
            trains=True,
            multiplications=size.multiplications,
        )

    def useful_ranks(self, job: Job, name: str, work: Work) -> int:
        """See `TaskKind`; each rank needs a sample in every step, and the engine `local` is for one rank."""
        return 1 if self.task(job, name).engine == "local" else work.batch_size

    def session(self, context: SessionContext) -> Session:
        """See `TaskKind`; several objectives are trained by the same session as one."""
        from hpcmtl.training.sessions.train import TrainSession

        return TrainSession(context, self.task(context.job, context.task))
