"""Joint tasks: a shared trunk with several heads, trained together."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hpcmtl.jobfile.kinds import kind_of
from hpcmtl.networks.description import Leaf, Part, Shared
from hpcmtl.networks.objective import Objective
from hpcmtl.networks.parameter_mapping import ParameterMapping
from hpcmtl.training.kinds.fit import check_part
from hpcmtl.training.kinds.known_names import check_metrics, check_own
from hpcmtl.training.kinds.schemas import Joint, Train
from hpcmtl.training.kinds.several_sources import check_heads
from hpcmtl.training.kinds.trained import TrainedKind
from hpcmtl.training.kinds.weightings import check_weighting

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hpcmtl.frameworks.description import FrameworkDescription
    from hpcmtl.jobfile.arrays import KeyedReference
    from hpcmtl.jobfile.findings import Finding
    from hpcmtl.jobfile.kinds import TaskKind
    from hpcmtl.jobfile.schema import Job
    from hpcmtl.jobfile.weighting import WeightingChoice
    from hpcmtl.networks.description import NetworkDescription
    from hpcmtl.training.kinds.source_schemas import SourceKeys


class JointKind(TrainedKind[Joint]):
    """See `TaskKind`."""

    schema = Joint

    def references_of_source(self, job: Job, name: str) -> Iterator[KeyedReference]:
        """See `TrainedKind`."""
        yield from super().references_of_source(job, name)
        for head_name, head in self.task(job, name).heads.items():
            if head.target:
                yield ("heads", head_name, "target"), head.target
            if head.mask:
                yield ("heads", head_name, "mask"), head.mask

    def own_checks(self, job: Job, name: str) -> Iterator[Finding]:
        """See `TaskKind`."""
        yield from super().own_checks(job, name)
        task = self.task(job, name)
        yield from check_weighting(task)
        if task.sources:
            yield from check_heads(task.sources, task.heads)
        for head_name, head in task.heads.items():
            yield from check_metrics(("heads", head_name, "metrics"), head.metrics or ())
            if head.model is not None and head.target is None and not task.sources:
                yield ("heads", head_name), "a head with its own `model` needs `target` and `loss`"

    def framework_checks(self, task: Joint, framework: FrameworkDescription) -> Iterator[Finding]:
        """See `TrainedKind`."""
        yield from super().framework_checks(task, framework)
        if task.trunk.model is not None:
            yield from check_own(("trunk", "model", "name"), task.trunk.model.name, framework, "models")
        for name, head in task.heads.items():
            if head.loss is not None:
                yield from check_own(("heads", name, "loss"), head.loss, framework, "losses")
            if head.model is not None:
                yield from check_own(("heads", name, "model", "name"), head.model.name, framework, "models")

    def edge_checks(self, job: Job, name: str) -> Iterator[Finding]:
        """See `TaskKind`; an edge whose parameters are not used is a mistake."""
        task = self.task(job, name)
        yield from super().edge_checks(job, name)
        for head_name, head in task.heads.items():
            origin = job.tasks.get(head.from_ or "")
            if origin is not None and not isinstance(origin, Train):
                yield ("heads", head_name, "from"), f"a head comes from a train task; {head.from_!r} is {origin.kind}"
            elif origin is not None and origin.sources and head.target is None and not task.sources:
                text = f"{head.from_!r} was trained on several sources; name the targets of this head by `target`"
                yield ("heads", head_name), text
        used = {producer for _, producer in self.origins(task)}
        given = {producer for producer, need in task.needs.items() if need.kind == "parameters"}
        for producer in task.needs if used <= given else ():  # a wrong name would leave out the task that it means
            if producer in given - used:
                yield ("needs", producer), "its parameters are used by neither `trunk` nor `heads`; use `order`"

    def origins(self, task: Joint) -> Iterator[KeyedReference]:
        """See `TrainedKind`."""
        if task.trunk.from_ is not None:
            yield ("trunk", "from"), task.trunk.from_
        for head_name, head in task.heads.items():
            if head.from_ is not None:
                yield ("heads", head_name, "from"), head.from_
        yield from super().origins(task)

    def network_checks(self, job: Job, name: str) -> Iterator[Finding]:
        """See `TaskKind`."""
        yield from super().network_checks(job, name)
        trunk = self.task(job, name).trunk
        if trunk.part is not None and trunk.from_ is not None:
            yield from check_part(("trunk", "part"), _network(job, trunk.from_), trunk.part)

    def network(self, job: Job, name: str) -> NetworkDescription:
        """See `TaskKind`."""
        task = self.task(job, name)
        whole = Leaf(task.trunk.model) if task.trunk.model else _network(job, str(task.trunk.from_))
        trunk = whole if task.trunk.part is None else Part(whole, task.trunk.part)
        heads = tuple(
            (head_name, Leaf(head.model) if head.model else _network(job, str(head.from_)))
            for head_name, head in task.heads.items()
        )
        return Shared(trunk, heads)

    def of_source(self, task: Joint, source: SourceKeys) -> Joint:
        """See `TrainedKind`; it has the heads that the source has targets for."""
        heads = {
            name: head.model_copy(update={"target": source.targets[name], "mask": source.masks.get(name)})
            for name, head in task.heads.items()
            if name in source.targets
        }
        return super().of_source(task, source).model_copy(update={"heads": heads})

    def order_of_objectives(self, job: Job, name: str) -> tuple[str, ...]:
        """See `TrainedKind`."""
        return tuple(self.task(job, name).heads)

    def own_objectives(self, job: Job, name: str) -> tuple[Objective, ...]:
        """See `TrainedKind`; a head that comes from a task keeps its target, loss and metrics unless it has its own.

        `missing`, `mask` and `class_weights` belong to the target, `label_smoothing` and `mean_over` to the loss.
        """
        result = []
        for head_name, head in self.task(job, name).heads.items():
            origin = job.tasks.get(head.from_) if head.from_ else None
            base = origin if isinstance(origin, Train) else None
            has_own = head.target is not None or head.missing is not None or head.mask is not None
            labels = head if has_own or base is None else base
            of_loss = base if base and head.loss is None else head
            result.append(
                Objective(
                    head_name,
                    head.target or (base.target if base else "") or "",
                    head.loss or (base.loss if base else ""),
                    head.weight,
                    head.metrics if head.metrics is not None else (base.metrics if base else ()),
                    labels.missing,
                    labels.mask,
                    head.class_weights or (base.class_weights if base and head.target is None else None),
                    (of_loss if head.label_smoothing is None else head).label_smoothing or 0.0,
                    head.mean_over or of_loss.mean_over or "labelled",
                    head.per_token or (base is not None and head.target is None and base.per_token),
                )
            )
        return tuple(result)

    def weighting(self, job: Job, name: str) -> WeightingChoice | None:
        """See `TaskKind`."""
        return self.task(job, name).weighting

    def parameter_mappings(self, job: Job, name: str) -> tuple[ParameterMapping, ...]:
        """See `TaskKind`; `initialise` limits what trunk and heads take, and other tasks give under their own names."""
        task = self.task(job, name)
        part = f"{task.trunk.part}." if task.trunk.part else ""
        places = [(task.trunk.from_, part, "trunk.")] if task.trunk.from_ else []
        places += [(str(head.from_), "", f"heads.{key}.") for key, head in task.heads.items() if head.from_]
        used = {producer for producer, _, _ in places}
        places += [(producer, "", "") for producer in task.initialise if producer not in used]
        return tuple(ParameterMapping(*place, pattern=task.initialise.get(place[0], "*")) for place in places)


def _network(job: Job, name: str) -> NetworkDescription:
    return kind_of(job, name).network(job, name)


KIND: TaskKind = JointKind()
