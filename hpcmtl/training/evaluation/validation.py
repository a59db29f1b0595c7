"""Validation: metrics of a training task on its validation samples, at the ends of epochs."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from hpcmtl.communicators.outcome import on_root
from hpcmtl.data.hdf5 import numbers_in
from hpcmtl.data.sequential import sequential_batches
from hpcmtl.exchange.transfer import gather_rows
from hpcmtl.jobfile.metrics import takes_weights
from hpcmtl.networks.objective import MAIN
from hpcmtl.training.divergence import check_replicas
from hpcmtl.training.evaluation.labelled import QUERY, WEIGHTS, objective_metric
from hpcmtl.training.evaluation.losses import objective_loss
from hpcmtl.training.evaluation.sums import ObjectiveSums, are_sums
from hpcmtl.training.evaluation.tokens import MASK, TOKENS, token_rows
from hpcmtl.training.loop import TARGET
from hpcmtl.training.step_input import INPUT_ROWS, inputs_in

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import NDArray

    from hpcmtl.arrays import Arrays
    from hpcmtl.communicators.base import Communicator
    from hpcmtl.data.sources import Source
    from hpcmtl.networks.objective import Objective
    from hpcmtl.training.kinds.schemas import Trained
    from hpcmtl.training.learner import Learner
    from hpcmtl.training.replica import Replica
    from hpcmtl.training.session import SessionContext


@dataclass(frozen=True)
class HeldOut:
    """The samples of one source that a task is validated on, or that an earlier run was tested on.

    Attributes:
        source: name of the source; empty for a task with a single one.
        arrays: input of the network, first, and targets and masks of the objectives.
        sample_weights: weights of the samples; None for none.
        objectives: objectives that the source has targets of.
        batch_size: samples that a rank runs at once.
        split: split of the samples.
        first: number of the first samples of the split that are meant; None for all.
    """

    source: str
    arrays: tuple[Source, ...]
    sample_weights: Source | None
    objectives: tuple[Objective, ...]
    batch_size: int
    split: str = "val"
    first: int | None = None


def validation(
    context: SessionContext,
    task: Trained,
    objectives: tuple[Objective, ...],
    held_out: Sequence[HeldOut],
    replica: Replica,
) -> Callable[[int], dict[str, float]] | None:
    """Returns a function from the number of an epoch to metrics (collective); None if there is nothing to validate."""
    if not asked_metrics(task, objectives):
        return None
    # the split of the data: a task may have made them
    there = [each for each in held_out if len(numbers_in(each.arrays[0].split(), ["val"]))]
    if not there:
        return None
    weighted = any(takes_weights(metric) for each in objectives for metric in each.metrics)
    read = there if weighted else [replace(each, sample_weights=None) for each in there]
    # Of several sources: by source as well. One source may have targets of some objectives alone.
    summed = [each for each in read[0].objectives if are_sums(each)] if len(read) == 1 else []

    def after(epoch: int) -> dict[str, float]:
        if (epoch + 1) % task.validate_every:
            return {}
        replica.consolidate()  # running statistics of a rank alone are not those that the task publishes
        if context.group.size > 1:
            check_replicas(context, replica, replica.learner.state(), f"validation after epoch {epoch}")
        sums = [ObjectiveSums(each) for each in summed]
        rows = {each.source: _gathered(each, replica.learner, context.group, sums) for each in read}
        added = {each.objective.name: each.values(context.group) for each in sums}
        gathered = on_root(context.group, lambda: _metrics(objectives, rows))  # on all ranks, as an error is
        return _in_order(objectives, gathered, added)

    return after


def asked_metrics(task: Trained, objectives: tuple[Objective, ...]) -> tuple[str, ...]:
    """Returns the names in the results of the metrics that a task is to compute on its validation samples."""
    if not task.validate_every:
        return ()
    return tuple(_result_name(each, metric) for each in objectives for metric in each.metrics)


def _result_name(objective: Objective, metric: str, source: str = "") -> str:
    return ".".join(filter(None, ("" if objective.name == MAIN else objective.name, source, f"val_{metric}")))


def old_test_metrics(held_out: HeldOut, learner: Learner, group: Communicator) -> dict[str, float]:
    """Returns metrics over test samples of an earlier run (collective)."""
    rows = _gathered(held_out, learner, group)
    return on_root(group, lambda: _old_metrics(held_out.objectives, rows))


def _old_metrics(objectives: Sequence[Objective], rows: Arrays) -> dict[str, float]:
    return {
        f"{'' if each.name == MAIN else f'{each.name}.'}old_test_{metric}": objective_metric(metric, each, rows)
        for each in objectives
        for metric in each.metrics
    }


def _in_order(
    objectives: Sequence[Objective], gathered: Mapping[str, float], added: Mapping[str, Mapping[str, float]]
) -> dict[str, float]:
    """Returns the metrics of gathered rows and those of sums, in the order of the objectives."""
    if not added:
        return dict(gathered)
    found = {
        _result_name(each, metric): value
        for each in objectives
        for metric, value in added.get(each.name, dict.fromkeys(each.metrics)).items()
    }
    both = {**gathered, **{name: value for name, value in found.items() if value is not None}}
    return {name: both[name] for name in found if name in both}


def _gathered(held_out: HeldOut, learner: Learner, group: Communicator, sums: Sequence[ObjectiveSums] = ()) -> Arrays:
    """Returns outputs and targets of the samples, of all ranks on the first one; empty elsewhere.

    Those of objectives that have sums are added to these, and not gathered.
    """
    added = {each.objective.name for each in sums}
    kept = [each for each in held_out.objectives if each.name not in added]
    left_out = {prefix + name for name in added for prefix in ("", TARGET, MASK, TOKENS, QUERY)}
    outputs: dict[str, list[NDArray[Any]]] = {}
    weights = () if held_out.sample_weights is None else (replace(held_out.sample_weights, key=WEIGHTS),)
    sources, by_key = (*held_out.arrays, *weights), {each.key: each for each in held_out.arrays}
    beside = [each.key for each in sources if not each.key.startswith(INPUT_ROWS)]
    size, piece = held_out.batch_size, slice(0, held_out.first)
    with sequential_batches(sources, [held_out.split], size, group.rank, group.size, piece=piece) as batches:
        for numbers, arrays in batches:
            rows = {**learner.outputs(inputs_in(arrays)), **{key: arrays[key] for key in beside}}
            made = token_rows(rows, held_out.objectives, by_key, numbers)
            for each in sums:
                each.add(made)
            for key, array in made.items() if kept else ():
                if key not in left_out:
                    outputs.setdefault(key, []).append(array)
    tokens = [TOKENS + each.name for each in kept if each.per_token]
    beside = [key for key in beside if kept and key not in left_out]
    gathered = {}
    for key in [*(each.name for each in kept), *beside, *tokens]:
        mine = outputs.get(key, [])
        whole = gather_rows(group, np.concatenate(mine) if mine else np.empty((0,)))
        if whole is not None:
            gathered[key] = whole
    return gathered


def _metrics(objectives: tuple[Objective, ...], rows: Mapping[str, Arrays]) -> dict[str, float]:
    """Returns metrics over the samples of all sources, and over those of each where an objective has several.

    Args:
        objectives: objectives of the task.
        rows: source -> outputs, targets, masks and weights by key.
    """
    found: dict[str, float] = {}
    for each in objectives:
        own = {source: arrays for source, arrays in rows.items() if TARGET + each.name in arrays}
        if len(own) > 1:
            for source, arrays in own.items():
                found |= {_result_name(each, name, source): one for name, one in _of_domain(each, arrays).items()}
        pooled = _pooled(each, list(own.values()))
        found |= {_result_name(each, metric): objective_metric(metric, each, pooled) for metric in each.metrics if own}
    return found


def _of_domain(objective: Objective, rows: Arrays) -> dict[str, float]:
    """Returns metrics and loss over the samples of one of several sources; the loss if hpcmtl defines it."""
    found = {metric: objective_metric(metric, objective, rows) for metric in objective.metrics}
    loss = objective_loss(objective, rows)
    return found if loss is None else {**found, "loss": loss}


def _pooled(objective: Objective, parts: Sequence[Arrays]) -> Arrays:
    """Returns the rows of several sources as those of one; a source without a mask or weights has ones."""
    pooled = {}
    name = objective.name
    for key in (name, TARGET + name, MASK + name, TOKENS + name, QUERY + name, WEIGHTS):
        given = [each[key] for each in parts if key in each]
        if given:
            shape = max((each.shape[1:] for each in given), key=len)  # a mask of samples beside one of labels
            rows = [each.get(key, np.ones(len(each[name]))) for each in parts]
            pooled[key] = np.concatenate(
                [
                    np.broadcast_to(each.reshape(*each.shape, *[1] * (1 + len(shape) - each.ndim)), (len(each), *shape))
                    for each in rows
                ]
            )
    return pooled
