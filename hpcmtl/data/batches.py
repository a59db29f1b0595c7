"""Batches of one rank: its share of every global step, prefetched by one thread."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from hpcmtl.data.epochs import EpochPlan, SplitEpochs
from hpcmtl.data.mixup import TARGETS_PER_ROW, BatchMixup, EpochMixup, StepMixup
from hpcmtl.data.prefetch import Prefetched, items_ahead
from hpcmtl.data.shard import shard
from hpcmtl.data.shared_memory import address_space_left
from hpcmtl.data.sources import Source, check_sources, open_sources, selected
from hpcmtl.data.split_cache import SplitCache
from hpcmtl.data.split_rows import layout_of, read_rows
from hpcmtl.data.step_rows import from_memory, from_windows
from hpcmtl.errors import InputError, Problem

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator, Mapping

    from numpy.typing import NDArray

    from hpcmtl.arrays import Arrays, Ints
    from hpcmtl.data.cursor import Cursor
    from hpcmtl.data.labels import Labels
    from hpcmtl.data.samplers import Sampler
    from hpcmtl.data.step_rows import RowsOf

_WEIGHTS = ""  # key of the sample weights among the readers; no source can have it


@dataclass(frozen=True, slots=True)
class BatchSpec:
    """Describes the data that a training reads; equal on all ranks.

    Attributes:
        sources: datasets with one row per sample; files may differ if they have the same samples and split.
        batch_size: samples in a global step, over the whole group.
        split: ``train``, ``val`` or ``test``.
        sample_weights: dataset of one number per sample, a factor of the sample's weight.
        memory_budget: bytes; a smaller split is read once and kept in memory.
        labels: key of a source -> its labels, for targets whose labels do not all count alike.
        sampler: chooses the samples of each epoch; None for each sample of the split once.
        epochs: plan of epochs that are composed in another way, which makes `batch_size` the size of the fullest step;
            None for steps of equal size.
        mixup: how samples are mixed with others of their batch; None for samples as they are.
        cache: rows that are kept in memory.
    """

    sources: tuple[Source, ...]
    batch_size: int
    split: str = "train"
    sample_weights: Source | None = None
    memory_budget: int = 256 << 20
    labels: Mapping[str, Labels] = field(default_factory=dict, compare=False)
    sampler: Sampler | None = field(default=None, compare=False)
    epochs: EpochPlan | None = field(default=None, compare=False)
    mixup: BatchMixup | None = field(default=None, compare=False)
    cache: SplitCache = field(default_factory=SplitCache, compare=False)


def epochs_of(spec: BatchSpec) -> EpochPlan:
    """Returns the plan of the epochs of a training.

    Raises:
        InputError: the split is unknown or empty.
    """
    if spec.epochs is not None:
        return spec.epochs
    samples = len(selected(spec.sources[:1], [spec.split])) if spec.sampler is None else spec.sampler.samples
    return SplitEpochs(samples, spec.batch_size, spec.sampler)


@dataclass(frozen=True, slots=True)
class Batch:
    """Holds the share of one rank in one global step.

    Attributes:
        cursor: position of this step, from which a training can be resumed to repeat it.
        indices: (n,) sample numbers.
        arrays: key of each source -> its (n, ...) rows.
        weights: (n,) 1 for a sample, times its sample weight; 0 for the row of a filler.
        global_samples: number of samples of the whole group. The loss of the step is the weighted sum over all ranks
            divided by this number, which is also right for a short last batch.
        filler: whether the rank has no sample of this step: its only row takes part with weight 0.
        label_weights: key of a source in `BatchSpec.labels` -> (n, ...) float32 factors of the weights of its labels: 0
            for a missing one, else samples over labelled samples of the whole group's batch, times its class weight.
        labelled: key of such a source -> number of labelled samples of the whole group's batch.
        targets_per_row: rows of targets, weights and label weights of each row of inputs; two where samples are mixed.
    """

    cursor: Cursor
    indices: Ints
    arrays: Arrays
    weights: NDArray[np.float32]
    global_samples: int
    filler: bool = False
    label_weights: Mapping[str, NDArray[np.float32]] = field(default_factory=dict)
    labelled: Mapping[str, float] = field(default_factory=dict)
    targets_per_row: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class _ReadRequest:
    """Holds the input of the prefetch thread: what to read, from where to where, for which rank."""

    sources: tuple[Source, ...]
    indices: Ints
    plan: EpochPlan
    spec: BatchSpec
    cursor: Cursor
    until: Cursor
    group_rank: int
    group_size: int


@dataclass(frozen=True, slots=True)
class _RankStep:
    """Holds the part of one global step for one rank; `positions` and those of the `whole` step index the epoch.

    Where samples are mixed, the positions are those of partners as well.
    """

    cursor: Cursor
    whole: Ints
    positions: Ints
    filler: bool
    mixed: StepMixup | None = None


class Batches(Prefetched[Batch]):
    """Iterates over the global steps from `cursor` to `until`, exclusive.

    Every rank of the group gets the same number of batches, and the union of their samples does not depend on the size
    of the group. Use it in a ``with`` statement, which ends the prefetch thread.

    Attributes:
        steps_per_epoch: number of global steps per epoch.
    """

    def __init__(self, spec: BatchSpec, cursor: Cursor, until: Cursor, group_rank: int, group_size: int) -> None:
        """Checks the spec and starts to read.

        Raises:
            InputError: files or datasets are bad or do not match; the message names them.
            ValueError: `cursor` is not a step of an epoch of this split.
        """
        sources, row_bytes = all_sources(spec)
        indices = selected(sources, [spec.split])
        plan = epochs_of(spec)
        self.steps_per_epoch = len(plan.bounds) - 1
        if not 0 <= cursor.step < self.steps_per_epoch:
            raise ValueError(f"{cursor} is not one of the {self.steps_per_epoch} steps of an epoch")
        request = _ReadRequest(
            sources=sources,
            indices=indices,
            plan=plan,
            spec=spec,
            cursor=cursor,
            until=until,
            group_rank=group_rank,
            group_size=group_size,
        )
        rows = -(-spec.batch_size // group_size)
        super().__init__(partial(_produce, request), items_ahead(rows * row_bytes))


def all_sources(spec: BatchSpec) -> tuple[tuple[Source, ...], int]:
    """Returns the checked sources, with that of the sample weights last, and the bytes of a sample of all of them.

    Raises:
        InputError: files or datasets are bad or do not match; the message names them.
    """
    weights = [] if spec.sample_weights is None else [replace(spec.sample_weights, key=_WEIGHTS)]
    sources = (*spec.sources, *weights)
    described = check_sources(sources)
    if weights and described[-1].shape != ():
        message = f"shape {described[-1].shape} for each sample; sample weights are one number a sample"
        raise InputError([Problem(f"{weights[0].path}: {weights[0].dataset}", message)])
    return sources, sum(each.sample_bytes for each in described)


def _produce(request: _ReadRequest, check_open: Callable[[], None]) -> Generator[Batch, None, None]:
    """Yields the batches of one rank; runs in the prefetch thread."""
    cache = request.spec.cache
    if cache.arrays is None:
        with open_sources(request.sources) as readers:
            layout = layout_of(readers, len(request.indices))
            cache.block = layout.block
            if layout.size <= min(request.spec.memory_budget, address_space_left() // 2):
                arrays = {key: np.empty(shape, dtype) for key, (_, shape, dtype) in layout.places.items()}
                read_rows(readers, request.indices, arrays, slice(None), check_open)
                cache.arrays = arrays
    if cache.arrays is None:
        yield from _batches(request, cache.block, partial(_from_files, request, cache.block, check_open))
    else:
        yield from _batches(request, cache.block, partial(from_memory, cache.arrays, request.indices))


def _from_files(
    request: _ReadRequest, block: int, check_open: Callable[[], None], order: Ints, positions: list[Ints]
) -> Iterator[tuple[Ints, Arrays]]:
    """Yields the rows of each step of one epoch, from the files that are nearest when it begins."""
    with open_sources(request.sources) as readers:
        yield from from_windows(readers, block, check_open, order, positions)


def _batches(request: _ReadRequest, block: int, rows_of: RowsOf) -> Iterator[Batch]:
    for epoch, steps in _epochs(request):
        order = request.plan.order(request.indices, block, request.cursor.seed, epoch)
        if request.spec.mixup is not None:
            steps = _with_partners(request.spec.mixup, steps, order, epoch)  # noqa: PLW2901
        rows = rows_of(order, [step.positions for step in steps])
        for step, (indices, arrays) in zip(steps, rows, strict=True):
            weights, samples = _weights(step, arrays), len(step.whole)
            for source in request.spec.sources:
                arrays[source.key] = source.changed(arrays[source.key], indices, order[step.whole], epoch)
            labelled = _labelled(request, order, step)
            factors = {}
            for key, labels in request.spec.labels.items():
                masks = None if labels.mask is None else arrays.pop(labels.mask)
                arrays[key], known = labels.known(arrays[key], masks, indices)
                factors[key] = labels.weights(arrays[key], known, samples, labelled[key])
            batch = Batch(step.cursor, indices, arrays, weights, samples, step.filler, factors, labelled)
            yield batch if step.mixed is None else _mixed_batch(step.mixed, batch)


def _with_partners(mixup: BatchMixup, steps: list[_RankStep], order: Ints, epoch: int) -> list[_RankStep]:
    """Returns the steps of an epoch with their mixup, and with the positions of their samples and the partners."""
    whole = EpochMixup(mixup, order, epoch)
    mixed = [whole.step(step.whole, step.positions) for step in steps]
    return [replace(step, positions=each.positions, mixed=each) for step, each in zip(steps, mixed, strict=True)]


def _mixed_batch(mixed: StepMixup, batch: Batch) -> Batch:
    """Returns the share of a rank, from a batch of all samples at the positions of a step."""
    return replace(
        batch,
        indices=batch.indices[mixed.own],
        arrays={key: mixed.rows(key, array) for key, array in batch.arrays.items()},
        weights=mixed.weights(batch.weights),
        label_weights={key: mixed.both(array) for key, array in batch.label_weights.items()},
        targets_per_row=TARGETS_PER_ROW,
    )


def _labelled(request: _ReadRequest, order: Ints, step: _RankStep) -> dict[str, float]:
    """Returns the number of samples of a whole step that the mean of each target is over, by key."""
    if not request.spec.labels:
        return {}
    places, mixed = np.searchsorted(request.indices, order[step.whole]), step.mixed
    return {
        key: labels.labelled(places) if mixed is None else mixed.labelled(labels.counts[places])
        for key, labels in request.spec.labels.items()
    }


def _epochs(request: _ReadRequest) -> Iterator[tuple[int, list[_RankStep]]]:
    """Yields each epoch with its requested steps."""
    cursor, until = request.cursor, request.until
    bounds = request.plan.bounds
    per_epoch = len(bounds) - 1
    while (cursor.epoch, cursor.step) < (until.epoch, until.step):
        last = per_epoch if cursor.epoch < until.epoch else min(until.step, per_epoch)
        steps = []
        for step in range(cursor.step, last):
            whole = np.arange(bounds[step], bounds[step + 1])
            mine = shard(whole, request.group_rank, request.group_size)
            filler = len(mine) == 0
            # A rank without a sample must still take part in the step: it computes one sample with weight 0.
            steps.append(_RankStep(replace(cursor, step=step), whole, whole[:1] if filler else mine, filler))
        yield cursor.epoch, steps
        cursor = cursor.advance(per_epoch, last - cursor.step)


def _weights(step: _RankStep, arrays: Arrays) -> NDArray[np.float32]:
    """Removes the sample weights, if any, from the arrays of a step and returns the weights."""
    ones = np.ones(len(step.positions), dtype=np.float32)
    return ones * arrays.pop(_WEIGHTS, ones).astype(np.float32) * np.float32(not step.filler)
