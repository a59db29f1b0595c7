"""Validation: metrics of a training task on its validation samples, at the ends of epochs."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from hpcmtl.data.hdf5 import numbers_in
from hpcmtl.data.sequential import sequential_batches
from hpcmtl.exchange.transfer import gather_rows
from hpcmtl.jobfile.tasks import WEIGHTED
from hpcmtl.networks.objective import MAIN
from hpcmtl.training.divergence import check_replicas
from hpcmtl.training.evaluation.labelled import MASK, WEIGHTS, objective_metric
from hpcmtl.training.loop import TARGET
from hpcmtl.training.step_input import INPUT_ROWS, inputs_in

if TYPE_CHECKING:
    from collections.abc import Callable

    from hpcmtl.communicators.base import Communicator
    from hpcmtl.data.batches import BatchSpec
    from hpcmtl.networks.objective import Objective
    from hpcmtl.training.kinds.schemas import Trained
    from hpcmtl.training.learner import Learner
    from hpcmtl.training.replica import Replica
    from hpcmtl.training.session import SessionContext


def validation(
    context: SessionContext,
    task: Trained,
    objectives: tuple[Objective, ...],
    spec: BatchSpec,
    replica: Replica,
) -> Callable[[int], dict[str, float]] | None:
    """Returns a function from the number of an epoch to metrics (collective); None if there is nothing to validate."""
    if not asked_metrics(task, objectives):
        return None
    if not len(numbers_in(spec.sources[0].split(), ["val"])):  # the split of the data: a task may have made them
        return None

    weighted = any(metric.startswith(WEIGHTED) for each in objectives for metric in each.metrics)
    read = spec if weighted else replace(spec, sample_weights=None)

    def after(epoch: int) -> dict[str, float]:
        if (epoch + 1) % task.validate_every:
            return {}
        replica.consolidate()  # running statistics of a rank alone are not those that the task publishes
        if context.group.size > 1:
            check_replicas(context, replica, replica.learner.state(), f"validation after epoch {epoch}")
        outputs = _outputs(read, replica.learner, context.group)
        return _metrics(objectives, outputs, context.group, weighted=read.sample_weights is not None)

    return after


def asked_metrics(task: Trained, objectives: tuple[Objective, ...]) -> tuple[str, ...]:
    """Returns the names in the results of the metrics that a task is to compute on its validation samples."""
    if not task.validate_every:
        return ()
    return tuple(_result_name(each, metric) for each in objectives for metric in each.metrics)


def _result_name(objective: Objective, metric: str) -> str:
    return ("val_" if objective.name == MAIN else f"{objective.name}.val_") + metric


def _outputs(spec: BatchSpec, learner: Learner, group: Communicator) -> dict[str, list[np.ndarray]]:  # type: ignore[type-arg]
    """Returns the network's outputs for this rank's samples, batch by batch, and their targets."""
    outputs: dict[str, list[np.ndarray]] = {}  # type: ignore[type-arg]
    weights = () if spec.sample_weights is None else (replace(spec.sample_weights, key=WEIGHTS),)
    beside = [each.key for each in (*spec.sources, *weights) if not each.key.startswith(INPUT_ROWS)]
    with sequential_batches((*spec.sources, *weights), ["val"], spec.batch_size, group.rank, group.size) as batches:
        for _, arrays in batches:
            for name, array in learner.outputs(inputs_in(arrays)).items():
                outputs.setdefault(name, []).append(array)
            for key in beside:
                outputs.setdefault(key, []).append(arrays[key])
    return outputs


def _metrics(
    objectives: tuple[Objective, ...],
    outputs: dict[str, list[np.ndarray]],  # type: ignore[type-arg]
    group: Communicator,
    *,
    weighted: bool,
) -> dict[str, float]:
    """Returns metrics over the samples of all ranks, on the group's first rank; an empty dict elsewhere."""
    keys = [key for each in objectives for key in (each.name, TARGET + each.name)]
    keys += [MASK + each.name for each in objectives if each.mask is not None]
    keys += [WEIGHTS] if weighted else []
    gathered = {}
    for key in keys:
        mine = outputs.get(key, [])
        rows = gather_rows(group, np.concatenate(mine) if mine else np.empty((0,)))
        if rows is not None:
            gathered[key] = rows
    if not gathered:
        return {}
    return {
        _result_name(each, metric): objective_metric(metric, each, gathered)
        for each in objectives
        for metric in each.metrics
    }
