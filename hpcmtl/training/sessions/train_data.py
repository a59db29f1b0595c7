"""The data of a training task, as its batches read it."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from hpcmtl.communicators.outcome import on_root
from hpcmtl.data.batches import BatchSpec
from hpcmtl.data.labels import read_labels
from hpcmtl.data.sources import selected
from hpcmtl.training.artifacts.inputs import every_row
from hpcmtl.training.evaluation.labelled import MASK, masks
from hpcmtl.training.input_transforms import transforms_of_training
from hpcmtl.training.loop import INPUT, TARGET

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from hpcmtl.communicators.base import Communicator
    from hpcmtl.data.labels import Labels
    from hpcmtl.data.sources import Source
    from hpcmtl.networks.objective import Objective
    from hpcmtl.training.artifacts.inputs import Inputs
    from hpcmtl.training.kinds.schemas import Trained
    from hpcmtl.training.session import SessionContext

_WEIGHTS = "weights"


def batch_spec(
    context: SessionContext, inputs: Inputs, task: Trained, objectives: Sequence[Objective]
) -> tuple[BatchSpec, dict[str, Source]]:
    """Returns the input, targets, masks and sample weights of a task, and their sources by reference (collective).

    Raises:
        InputError: no label of an objective is known, or the input cannot have its transforms; on all ranks.
    """
    references = {INPUT: task.input, **{TARGET + each.name: each.target for each in objectives}, **masks(objectives)}
    if task.sample_weights:
        references[_WEIGHTS] = task.sample_weights
    sources = inputs.sources(references, every_row)
    read = {reference: sources[key] for key, reference in references.items()}
    sources[INPUT] = replace(sources[INPUT], transform=transforms_of_training(context, sources[INPUT]))
    weights = sources.pop(_WEIGHTS, None)
    assert task.batch_size is not None, "defaults are filled in"
    spec = BatchSpec(tuple(sources.values()), task.batch_size, sample_weights=weights)
    return replace(spec, labels=_labels(spec, sources, objectives, context.group)), read


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
