"""Joint tasks: a shared trunk with several heads, trained together."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hpcmtl.errors import nearest
from hpcmtl.jobfile.kinds import kind_of
from hpcmtl.jobfile.transforms import mixup_of
from hpcmtl.networks.architectures.choice import HardSharing
from hpcmtl.networks.description import Branches, Leaf, Part, Shared, parts_of
from hpcmtl.networks.objective import Objective
from hpcmtl.networks.parameter_mapping import ParameterMapping
from hpcmtl.networks.rest import rests_of
from hpcmtl.training.kinds.architectures import check_architecture, check_levels, check_reused, trunk_copies
from hpcmtl.training.kinds.coupled_heads import (
    check_agreement,
    check_consistency,
    check_head_inputs,
    consistency_of,
    inputs_of_heads,
)
from hpcmtl.training.kinds.course import check_head_course
from hpcmtl.training.kinds.known_names import check_metrics, check_own
from hpcmtl.training.kinds.modes import check_mode, separate_tasks, too_few_steps, turns_of
from hpcmtl.training.kinds.pretrained_schema import Pretrained
from hpcmtl.training.kinds.schemas import Head, Joint, Train
from hpcmtl.training.kinds.several_sources import check_heads
from hpcmtl.training.kinds.trained import TrainedKind
from hpcmtl.training.kinds.weightings import check_places, check_weighting

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from hpcmtl.frameworks.description import FrameworkDescription
    from hpcmtl.jobfile.arrays import ArraySpec, KeyedReference
    from hpcmtl.jobfile.findings import Finding
    from hpcmtl.jobfile.kinds import TaskKind
    from hpcmtl.jobfile.schema import Job
    from hpcmtl.jobfile.tasks import TaskBase
    from hpcmtl.jobfile.turns import Turns
    from hpcmtl.jobfile.weighting import WeightingChoice
    from hpcmtl.networks.consistency import Consistency
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
            if head.query:
                yield ("heads", head_name, "query"), head.query

    def own_checks(self, job: Job, name: str) -> Iterator[Finding]:
        """See `TaskKind`."""
        yield from super().own_checks(job, name)
        task = self.task(job, name)
        yield from check_weighting(task, mixed=any(map(mixup_of, self.transforms(job, name).values())))
        yield from check_head_inputs(task.heads)
        yield from check_consistency(task)
        yield from check_mode(job, name, task)
        yield from check_head_course(job, name, task)
        if task.sources:
            yield from check_heads(task.sources, task.heads)
        for head_name, head in task.heads.items():
            yield from check_metrics(("heads", head_name, "metrics"), head.metrics or ())
            if head.part is not None and (head.from_ != task.trunk.from_ or task.trunk.part is None):
                text = "a part is the rest of the network that the trunk was cut from"
                yield ("heads", head_name, "part"), f"{text}: write `trunk: {{from: {head.from_}, part: ...}}`"
            if head.model is not None and head.target is None and not task.sources:
                yield ("heads", head_name), "a head with its own `model` needs `target` and `loss`"

    def framework_checks(self, task: Joint, framework: FrameworkDescription) -> Iterator[Finding]:
        """See `TrainedKind`."""
        yield from super().framework_checks(task, framework)
        yield from check_places(task, framework)
        yield from check_levels(task, framework)
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
            yield from ((("heads", head_name, *path), text) for path, text in _check_origin(job, head, task))
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
        objectives = {each.name: each for each in self.objectives(job, name)}
        sources = self.task(job, name).sources.values()
        lacking = {key for key, each in objectives.items() if each.is_partly_labelled}
        lacking |= {key for key in objectives if any(key not in source.targets for source in sources)}
        yield from check_agreement(self.consistency(job, name), objectives, lacking)
        task, inputs = self.task(job, name), self.network_inputs(job, name)
        yield from check_architecture(task, self._trunk(job, task), inputs)
        if task.trunk.from_ is not None:
            yield from check_reused(task.trunk, _network(job, task.trunk.from_))
            yield from self._check_rests(job, name) if task.trunk.part is not None else ()

    def _check_rests(self, job: Job, name: str) -> Iterator[Finding]:
        """Yields heads that are no rest of the network that the trunk was cut from, which has the part of the trunk."""
        task = self.task(job, name)
        whole, part = _network(job, str(task.trunk.from_)), str(task.trunk.part)
        parts = parts_of(whole)
        rests = rests_of(whole, part) if parts is None or part in parts else None
        for head_name, head in task.heads.items():
            if head.part is not None and rests is not None and head.part not in rests:
                text = f"behind {part!r} the network has no part {head.part!r}"
                yield ("heads", head_name, "part"), f"{text}{nearest(head.part, rests)}"

    def network(self, job: Job, name: str) -> NetworkDescription:
        """See `TaskKind`."""
        task = self.task(job, name)
        trunk = self._trunk(job, task)
        if not isinstance(task.architecture, HardSharing):
            trunk = Branches(trunk, tuple(task.heads), task.architecture)
        heads = tuple(
            (head_name, Leaf(head.model) if head.model else _of_head(job, head))
            for head_name, head in task.heads.items()
        )
        return Shared(trunk, heads, inputs_of_heads(task.heads))

    def consistency(self, job: Job, name: str) -> tuple[Consistency, ...]:
        """See `TaskKind`."""
        return consistency_of(self.task(job, name), {each.name: each for each in self.objectives(job, name)})

    def _trunk(self, job: Job, task: Joint) -> NetworkDescription:
        """Returns the network that `trunk` describes."""
        whole = Leaf(task.trunk.model) if task.trunk.model else _network(job, str(task.trunk.from_))
        return whole if task.trunk.part is None else Part(whole, task.trunk.part)

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

        `missing`, `mask`, `class_weights` and `query` belong to the target; `label_smoothing` and `mean_over` to the
        loss.
        """
        result = []
        for head_name, head in self.task(job, name).heads.items():
            origin = job.tasks.get(head.from_) if head.from_ else None
            base = origin if isinstance(origin, Train) else _objective_of(job, head)
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
                    head.query or (base.query if base and head.target is None else None),
                )
            )
        return tuple(result)

    def weighting(self, job: Job, name: str) -> WeightingChoice | None:
        """See `TaskKind`."""
        return self.task(job, name).weighting

    def replacements(self, job: Job, name: str) -> Mapping[str, TaskBase]:
        """See `TaskKind`; with `mode: separate` there is a task for each head."""
        return separate_tasks(job, name, self.task(job, name))

    def turns(self, job: Job, name: str) -> Turns | None:
        """See `TaskKind`."""
        return turns_of(self.task(job, name))

    def shape_checks(self, job: Job, name: str, arrays: Mapping[str, ArraySpec]) -> Iterator[Finding]:
        """See `TaskKind`."""
        found, turns = list(super().shape_checks(job, name, arrays)), self.turns(job, name)
        yield from found
        if turns is None or found:
            return
        steps = self.work(job, name, arrays).steps_per_pass
        if (text := too_few_steps(turns, self.task(job, name).heads, steps)) is not None:
            yield ("turns",), text

    def parameter_mappings(self, job: Job, name: str) -> tuple[ParameterMapping, ...]:
        """See `TaskKind`; `initialise` limits what trunk and heads take, and other tasks give under their own names."""
        task = self.task(job, name)
        part, copies = f"{task.trunk.part}." if task.trunk.part else "", trunk_copies(task)
        places = [(task.trunk.from_, part, f"{copy}.") for copy in copies] if task.trunk.from_ else []
        heads = [(f"heads.{key}.", head) for key, head in task.heads.items()]
        places += [(each.from_, f"{each.part}." if each.part else "", into) for into, each in heads if each.from_]
        used = {producer for producer, _, _ in places}
        places += [(producer, "", "") for producer in task.initialise if producer not in used]
        return tuple(ParameterMapping(*place, pattern=task.initialise.get(place[0], "*")) for place in places)


def _check_origin(job: Job, head: Head, task: Joint) -> Iterator[Finding]:
    """Yields problems of the task that a head comes from."""
    origin, name = job.tasks.get(head.from_ or ""), head.from_
    if isinstance(origin, Pretrained):
        for key in ("target", "loss"):
            if getattr(head, key) is None and not (key == "target" and task.sources):
                yield (), f"{name!r} has the parameters of an earlier run; add the `{key}` of this head"
    elif isinstance(origin, Joint) and head.part is not None:
        parts = [f"heads.{each}" for each in origin.heads]
        if head.part not in parts:
            yield ("part",), f"{name!r} has no head {head.part!r}{nearest(head.part, parts)}"
    elif origin is not None and not isinstance(origin, Train):
        hint = "; for a head of it add `part: heads.NAME`" if isinstance(origin, Joint) else ""
        yield ("from",), f"a head comes from a train task; {name!r} is {origin.kind}{hint}"
    elif origin is not None and origin.sources and head.target is None and not task.sources:
        yield (), f"{name!r} was trained on several sources; name the targets of this head by `target`"


def _network(job: Job, name: str) -> NetworkDescription:
    return kind_of(job, name).network(job, name)


def _of_task(job: Job, name: str, part: str | None) -> NetworkDescription:
    """Returns the network of a task, or a part of it."""
    return _network(job, name) if part is None else Part(_network(job, name), part)


def _of_head(job: Job, head: Head) -> NetworkDescription:
    """Returns the network of a head that comes from another task; the part of a joint one is a head of that one."""
    whole = _network(job, str(head.from_))
    if head.part is None or not isinstance(whole, Shared):
        return _of_task(job, str(head.from_), head.part)
    return dict(whole.heads)[head.part.removeprefix("heads.")]


def _objective_of(job: Job, head: Head) -> Objective | None:
    """Returns the objective of the head of another joint task that a head is; None for other heads."""
    if head.from_ not in job.tasks or head.part is None:
        return None
    objectives = kind_of(job, head.from_).objectives(job, head.from_)
    return next((each for each in objectives if head.part == f"heads.{each.name}"), None)


KIND: TaskKind = JointKind()
