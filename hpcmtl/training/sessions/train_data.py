"""The data of a training task, as its batches read it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hpcmtl.data.batches import BatchSpec
from hpcmtl.training.artifacts.inputs import every_row
from hpcmtl.training.loop import INPUT, TARGET

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hpcmtl.data.sources import Source
    from hpcmtl.networks.objective import Objective
    from hpcmtl.training.artifacts.inputs import Inputs
    from hpcmtl.training.kinds.schemas import Trained

_WEIGHTS = "weights"


def batch_spec(inputs: Inputs, task: Trained, objectives: Sequence[Objective]) -> tuple[BatchSpec, dict[str, Source]]:
    """Returns the input, targets and sample weights of a task, and their sources by reference (collective)."""
    references = {INPUT: task.input, **{TARGET + each.name: each.target for each in objectives}}
    if task.sample_weights:
        references[_WEIGHTS] = task.sample_weights
    sources = inputs.sources(references, every_row)
    read = {reference: sources[key] for key, reference in references.items()}
    weights = sources.pop(_WEIGHTS, None)
    assert task.batch_size is not None, "defaults are filled in"
    return BatchSpec(tuple(sources.values()), task.batch_size, sample_weights=weights), read
