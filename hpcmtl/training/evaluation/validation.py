"""Validation: metrics of a training task on its validation samples, at the ends of epochs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from hpcmtl.data.sequential import sequential_batches
from hpcmtl.exchange.transfer import gather_rows
from hpcmtl.training.evaluation.metrics import compute
from hpcmtl.training.loop import INPUT, TARGET

if TYPE_CHECKING:
    from collections.abc import Callable

    from hpcmtl.communicators.base import Communicator
    from hpcmtl.data.batches import BatchSpec
    from hpcmtl.networks.objective import Objective
    from hpcmtl.training.kinds.schemas import Trained
    from hpcmtl.training.learner import Learner
    from hpcmtl.training.session import SessionContext


def validation(
    context: SessionContext,
    task: Trained,
    objectives: tuple[Objective, ...],
    spec: BatchSpec,
    learner: Learner,
) -> Callable[[int], dict[str, float]] | None:
    """Returns a function from the number of an epoch to metrics (collective); None if there is nothing to validate."""
    array = context.arrays.get(task.input)
    has_samples = array is not None and array.split is not None and array.split[1] > 0
    if not (task.validate_every and has_samples and any(each.metrics for each in objectives)):
        return None

    def after(epoch: int) -> dict[str, float]:
        if (epoch + 1) % task.validate_every:
            return {}
        return _metrics(objectives, _outputs(spec, learner, context.group), context.group)

    return after


def _outputs(spec: BatchSpec, learner: Learner, group: Communicator) -> dict[str, list[np.ndarray]]:  # type: ignore[type-arg]
    """Returns the network's outputs for this rank's samples, batch by batch, and their targets."""
    outputs: dict[str, list[np.ndarray]] = {}  # type: ignore[type-arg]
    with sequential_batches(spec.sources, ["val"], spec.batch_size, group.rank, group.size) as batches:
        for _, arrays in batches:
            for name, array in learner.outputs(arrays[INPUT]).items():
                outputs.setdefault(name, []).append(array)
                outputs.setdefault(TARGET + name, []).append(arrays[TARGET + name])
    return outputs


def _metrics(
    objectives: tuple[Objective, ...],
    outputs: dict[str, list[np.ndarray]],  # type: ignore[type-arg]
    group: Communicator,
) -> dict[str, float]:
    """Returns metrics over the samples of all ranks, on the group's first rank; an empty dict elsewhere."""
    found = {}
    for objective in objectives:
        rows = []
        for key in (objective.name, TARGET + objective.name):
            mine = outputs.get(key, [])
            rows.append(gather_rows(group, np.concatenate(mine) if mine else np.empty((0,))))
        for metric in objective.metrics if rows[0] is not None else ():
            assert rows[0] is not None
            assert rows[1] is not None
            prefix = "" if objective.name == "main" else f"{objective.name}."
            found[f"{prefix}val_{metric}"] = compute(metric, rows[0], rows[1])
    return found
