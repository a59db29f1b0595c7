"""The data of a training task, as its batches and its validation read them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

from hpcmtl.communicators.outcome import on_root
from hpcmtl.data.batches import BatchSpec
from hpcmtl.data.labels import read_labels
from hpcmtl.data.sources import check_sources, selected
from hpcmtl.jobfile.kinds import kind_of
from hpcmtl.training.artifacts.inputs import every_row
from hpcmtl.training.evaluation.labelled import QUERY, masks, queries
from hpcmtl.training.evaluation.tokens import MASK
from hpcmtl.training.evaluation.validation import HeldOut
from hpcmtl.training.input_transforms import mixup_of_training, transforms_of_training
from hpcmtl.training.kinds.sampling import sampled_objective, sampler_reference
from hpcmtl.training.loop import TARGET
from hpcmtl.training.sequence_padding import with_padding
from hpcmtl.training.sessions.incremental import increment_of
from hpcmtl.training.sessions.mixed_data import WEIGHTS, SourceRows, mixed_epochs, mixed_sources
from hpcmtl.training.sessions.train_sampler import read_sampler
from hpcmtl.training.step_input import INPUT_ROWS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from hpcmtl.communicators.base import Communicator
    from hpcmtl.data.labels import Labels
    from hpcmtl.data.samplers import Sampler
    from hpcmtl.data.sources import Source
    from hpcmtl.data.transforming.transforms import TransformChain
    from hpcmtl.jobfile.views import JobView
    from hpcmtl.networks.objective import Objective
    from hpcmtl.training.artifacts.inputs import Inputs
    from hpcmtl.training.kinds.sampler_schema import SamplerKeys
    from hpcmtl.training.kinds.schemas import Trained
    from hpcmtl.training.learner import Learner
    from hpcmtl.training.replica import Replica
    from hpcmtl.training.session import SessionContext
    from hpcmtl.training.sessions.incremental import Increment

_SAMPLER = "sampler"


@dataclass(frozen=True)
class TrainingData:
    """Holds the data of a training task.

    Attributes:
        spec: what its batches read; the first source is an input of the network.
        first: the arrays, or those of the first of several sources, as they lie in files or in memory.
        held_out: what its validation reads, one for each source of samples.
        read: source of each array by its reference.
        increment: what belongs to an earlier run; None for a task that begins afresh.
    """

    spec: BatchSpec
    first: tuple[Source, ...]
    held_out: tuple[HeldOut, ...]
    read: Mapping[str, Source]
    increment: Increment | None = None

    @property
    def bytes_in_memory(self) -> int:
        """Memory of the rows that are there before they are read, in bytes."""
        return sum(source.bytes_in_memory for source in self.spec.sources)

    def begun(self, learner: Learner, group: Communicator) -> dict[str, float]:
        """Loads the parameters of the earlier run, if there is one, and returns its metrics; see `Increment`."""
        return {} if self.increment is None else self.increment.begun(self.held_out[0], learner, group)

    def ended(self, replica: Replica, group: Communicator, before: Mapping[str, float]) -> dict[str, float]:
        """Returns metrics after the last step (collective); none without an earlier run; see `Increment`."""
        return {} if self.increment is None else self.increment.ended(self.held_out[0], replica, group, before)


def training_data(
    context: SessionContext, inputs: Inputs, task: Trained, objectives: Sequence[Objective]
) -> TrainingData:
    """Returns the input, targets, masks and sample weights of a task (collective).

    Raises:
        InputError: no label of an objective is known, the sampler cannot choose by its array, the input cannot have
            its transforms, or the sources cannot be mixed as it is asked for; on all ranks.
    """
    kind = kind_of(context.job, context.task)
    views, network = kind.views(context.job, context.task), kind.network(context.job, context.task)
    references = [_references(context, view, task) for view in views]
    keyed = {f"{number}:{key}": each for number, group in enumerate(references) for key, each in group.items()}
    found = inputs.sources(keyed, every_row)
    groups = [{key: replace(found[f"{n}:{key}"], key=key) for key in group} for n, group in enumerate(references)]
    read = {reference: found[key] for key, reference in keyed.items()}
    groups = [with_padding(group, network, task.buckets) for group in groups]
    rows = [SourceRows(view, each) for view, each in zip(views, groups, strict=True)]
    sources = mixed_sources(context, rows, objectives) if task.sources else dict(groups[0])
    chains = transforms_of_training(context, sources)
    sources = {key: replace(each, transform=chains.get(key)) for key, each in sources.items()}
    assert task.batch_size is not None, "defaults are filled in"
    held_out = tuple(_held_out(context, each, chains, task.batch_size) for each in rows)
    weights, by = sources.pop(WEIGHTS, None), sources.pop(_SAMPLER, None)
    sources = {key: each for key, each in sources.items() if not key.startswith(QUERY)}
    budget = context.job.data_memory
    spec = BatchSpec(tuple(sources.values()), task.batch_size, sample_weights=weights, memory_budget=budget)
    increment = increment_of(context, task, held_out[0].arrays[0])
    if task.sources:
        spec = replace(spec, epochs=mixed_epochs(context, task, rows))
    elif increment is not None:
        spec = replace(spec, epochs=increment.epochs)
    labels = _labels(spec, sources, objectives, context.group)
    sampler = _sampler(context, task.sampler, by, sources, objectives)
    spec = replace(spec, labels=labels, sampler=sampler, mixup=mixup_of_training(context))
    return TrainingData(spec, held_out[0].arrays, held_out, read, increment)


def _references(context: SessionContext, view: JobView, task: Trained) -> dict[str, str]:
    """Returns the references of the arrays of one source by the keys of their rows."""
    kind, name = kind_of(view.job, context.task), context.task
    objectives, weights = kind.objectives(view.job, name), kind.sample_weights(view.job, name)
    references = {INPUT_ROWS + key: each for key, each in kind.network_inputs(view.job, name).items()}
    references |= {TARGET + each.name: each.target for each in objectives} | masks(objectives) | queries(objectives)
    if weights is not None:
        references[WEIGHTS] = weights
    if (named := sampler_reference(task.sampler)) is not None:
        references[_SAMPLER] = named[1]
    return references


def _held_out(
    context: SessionContext, rows: SourceRows, chains: Mapping[str, TransformChain], batch_size: int
) -> HeldOut:
    """Returns what the validation reads of one source."""
    kept = {
        key: replace(source, transform=chains.get(key))
        for key, source in rows.sources.items()
        if key not in {WEIGHTS, _SAMPLER}
    }
    objectives = kind_of(rows.view.job, context.task).objectives(rows.view.job, context.task)
    return HeldOut(rows.view.source, tuple(kept.values()), rows.sources.get(WEIGHTS), objectives, batch_size)


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
        target, mask = sources[TARGET + each.name], sources.get(MASK + each.name)
        if each.missing is not None or mask is not None or each.class_weights is not None or each.per_token:
            numbers = selected(spec.sources[:1], [spec.split])
            given = target, mask, each.missing, each.class_weights, numbers
            found[target.key] = on_root(group, partial(read_labels, *given, mean_over=each.mean_over))
    return found
