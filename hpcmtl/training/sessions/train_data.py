"""The data of a training task, as its batches read it."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from hpcmtl.communicators.outcome import on_root
from hpcmtl.data.batches import BatchSpec
from hpcmtl.data.labels import read_labels
from hpcmtl.data.sources import check_sources, selected
from hpcmtl.jobfile.kinds import kind_of
from hpcmtl.training.artifacts.inputs import every_row
from hpcmtl.training.evaluation.labelled import MASK, masks
from hpcmtl.training.input_transforms import transforms_of_training
from hpcmtl.training.kinds.sampling import sampled_objective, sampler_reference
from hpcmtl.training.loop import TARGET
from hpcmtl.training.sessions.train_sampler import read_sampler
from hpcmtl.training.step_input import INPUT_ROWS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from hpcmtl.communicators.base import Communicator
    from hpcmtl.data.labels import Labels
    from hpcmtl.data.samplers import Sampler
    from hpcmtl.data.sources import Source
    from hpcmtl.networks.objective import Objective
    from hpcmtl.training.artifacts.inputs import Inputs
    from hpcmtl.training.kinds.schemas import SamplerKeys, Trained
    from hpcmtl.training.session import SessionContext

_WEIGHTS, _SAMPLER = "weights", "sampler"


def batch_spec(
    context: SessionContext, inputs: Inputs, task: Trained, objectives: Sequence[Objective]
) -> tuple[BatchSpec, dict[str, Source]]:
    """Returns the input, targets, masks and sample weights of a task, and their sources by reference (collective).

    Raises:
        InputError: no label of an objective is known, the sampler cannot choose by its array, or the input cannot have
            its transforms; on all ranks.
    """
    inputs_read = kind_of(context.job, context.task).network_inputs(context.job, context.task)
    references = {INPUT_ROWS + name: reference for name, reference in inputs_read.items()}
    references |= {**{TARGET + each.name: each.target for each in objectives}, **masks(objectives)}
    if task.sample_weights:
        references[_WEIGHTS] = task.sample_weights
    if (named := sampler_reference(task.sampler)) is not None:
        references[_SAMPLER] = named[1]
    sources = inputs.sources(references, every_row)
    read = {reference: sources[key] for key, reference in references.items()}
    for key, chain in transforms_of_training(context, sources).items():
        sources[key] = replace(sources[key], transform=chain)
    weights, by = sources.pop(_WEIGHTS, None), sources.pop(_SAMPLER, None)
    assert task.batch_size is not None, "defaults are filled in"
    spec = BatchSpec(tuple(sources.values()), task.batch_size, sample_weights=weights)
    labels = _labels(spec, sources, objectives, context.group)
    return replace(spec, labels=labels, sampler=_sampler(context, task.sampler, by, sources, objectives)), read


def _sampler(
    context: SessionContext,
    keys: SamplerKeys | None,
    by: Source | None,
    sources: Mapping[str, Source],
    objectives: Sequence[Objective],
) -> Sampler | None:
    """Returns the sampler of a task, which one rank makes (collective); None without one."""
    if keys is None:
        return None
    objective, masked = sampled_objective(keys, objectives), None
    if objective is not None:
        by, masked = sources[TARGET + objective.name], sources.get(MASK + objective.name)
    assert by is not None, "the checks of the job ask for a reference"
    check_sources([next(iter(sources.values())), by])
    numbers = selected([by], ["train"])
    missing = None if objective is None else objective.missing
    return on_root(context.group, partial(read_sampler, keys, by, masked, missing, numbers, seed=context.job.seed))


def _labels(
    spec: BatchSpec, sources: Mapping[str, Source], objectives: Sequence[Objective], group: Communicator
) -> dict[str, Labels]:
    """Returns the labels that do not all count alike, which one rank reads (collective)."""
    found = {}
    for each in objectives:
        if each.is_partly_labelled or each.class_weights is not None:
            target, mask = sources[TARGET + each.name], sources.get(MASK + each.name)
            numbers = selected(spec.sources[:1], [spec.split])
            read = partial(read_labels, target, mask, each.missing, each.class_weights, numbers)
            found[target.key] = on_root(group, read)
    return found
