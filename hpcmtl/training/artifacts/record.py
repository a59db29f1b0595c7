"""Records the facts about an artifact when its task publishes it; see `description`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from hpcmtl._version import __version__
from hpcmtl.data.open_file import open_sealed
from hpcmtl.data.stored_array import find_array
from hpcmtl.frameworks.registry import describe
from hpcmtl.jobfile.frameworks import framework_of
from hpcmtl.jobfile.kinds import kind_of
from hpcmtl.jobfile.references import references_of
from hpcmtl.jobfile.transforms import to_json
from hpcmtl.launch.run_facts import installed_version
from hpcmtl.networks.description import objective_shapes, takes_any_length
from hpcmtl.training.artifacts.description import (
    FACT,
    ArtifactDescription,
    InputFormat,
    OutputFormat,
    ParentRecord,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from hpcmtl.data.sequences import SampleRows
    from hpcmtl.data.sources import Source
    from hpcmtl.training.session import SessionContext


def parameter_facts(
    context: SessionContext, inputs: Mapping[str, Source], metrics: Mapping[str, float]
) -> dict[str, Any]:
    """Returns the facts that are sealed with the parameters of a task: its name, and the description.

    Args:
        context: context of the session.
        inputs: inputs of the network by name.
        metrics: metrics of the task.
    """
    samples, kind = _input_formats(context, inputs), kind_of(context.job, context.task)
    shapes = objective_shapes(
        kind.network(context.job, context.task), {name: each.shape for name, each in samples.items()}
    )
    outputs = {name: OutputFormat(shape=shapes.get(name), **facts) for name, facts in _objectives(context)}
    return {"task": context.task, FACT: _described(context, "parameters", samples, outputs, metrics).to_json()}


def describe_data(
    context: SessionContext,
    arrays: Mapping[str, SampleRows],
    metrics: Mapping[str, float],
    inputs: Mapping[str, Source] | None = None,
    part: str | None = None,
) -> ArtifactDescription:
    """Returns the description of arrays that a task publishes.

    Args:
        context: context of the session.
        arrays: name -> (samples, ...), as they are published.
        metrics: metrics of the task.
        inputs: inputs of the network whose outputs they are, by name; None without a network.
        part: part of the network whose output they are; None for the whole network.
    """
    known: dict[str, dict[str, Any]] = {} if inputs is None or part is not None else dict(_objectives(context))
    outputs = {
        name: OutputFormat(shape=array.shape[1:], dtype=str(array.dtype), **known.get(name, {}))
        for name, array in arrays.items()
    }
    samples = _input_formats(context, inputs or {})
    return _described(context, "data", samples, outputs, metrics, part=part or "")


def _described(
    context: SessionContext,
    content: Literal["parameters", "data"],
    samples: Mapping[str, InputFormat],
    outputs: Mapping[str, OutputFormat],
    metrics: Mapping[str, float],
    *,
    part: str = "",
) -> ArtifactDescription:
    job, task = context.job, context.task
    framework = framework_of(job, task) or ""
    distributions = describe(framework).distributions if framework else ()
    versions = {name: installed_version(name) for name in ("numpy", "h5py", *distributions)}
    return ArtifactDescription(
        content=content,
        job=job.job,
        task=task,
        kind=job.tasks[task].kind,
        framework=framework,
        network=kind_of(job, task).network(job, task) if samples else None,
        part=part,
        inputs=samples,
        outputs=outputs,
        metrics=dict(metrics),
        versions={"hpcmtl": __version__, **{name: each for name, each in versions.items() if each is not None}},
        parents=tuple(_parents(context)),
        modules=tuple(map(str, context.modules)),
    )


def _input_formats(context: SessionContext, inputs: Mapping[str, Source]) -> dict[str, InputFormat]:
    references = kind_of(context.job, context.task).network_inputs(context.job, context.task) if inputs else {}
    return {name: _input_format(context, inputs[name], name, reference) for name, reference in references.items()}


def _input_format(context: SessionContext, source: Source, name: str, reference: str) -> InputFormat:
    known, network = source.described().datasets[source.dataset], kind_of(context.job, context.task).network
    stored, scale = known.dtype, None
    if reference.partition("/")[0] in context.files:  # tasks publish what they made, without a scale
        with open_sealed(source.path) as file:
            array = find_array(file, source.path, source.dataset)
            stored, scale = array.dtype, array.attrs.get("scale")
    return InputFormat(
        reference=reference,
        shape=known.shape,
        dtype=str(known.dtype),
        stored_dtype=str(stored),
        scale=None if scale is None else float(scale),
        transforms=() if source.transform is None else tuple(to_json(source.transform.everywhere)),
        transform_seed=0 if source.transform is None else source.transform.seed,
        ragged=known.ragged and takes_any_length(network(context.job, context.task), name),
    )


def _objectives(context: SessionContext) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yields loss, target and class names of each output of the task's network."""
    for objective in kind_of(context.job, context.task).objectives(context.job, context.task):
        source = context.source("", objective.target)
        own = objective.target.partition("/")[0] in context.files  # tasks publish no names of classes
        classes = source.described().datasets[source.dataset].classes if own else None
        yield objective.name, {"loss": objective.loss, "target": objective.target, "classes": classes or ()}


def _parents(context: SessionContext) -> Iterator[ParentRecord]:
    for producer, need in context.job.tasks[context.task].needs.items():
        if need.kind != "order":
            yield ParentRecord(name=producer, edge=need.kind, path=f"{producer}.h5")
    origins = dict.fromkeys(ref.partition("/")[0] for _, ref in references_of(context.job, context.task))
    for name in origins:
        if name in context.files:
            yield ParentRecord(name=name, edge="file", path=str(context.files[name]))
