"""Tasks that train on several sources: the mixture of their steps, and what is wrong with their keys."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from hpcmtl.data.mixture import Mixture, UnfitMixtureError, epoch_steps
from hpcmtl.errors import nearest
from hpcmtl.jobfile.arrays import UNKNOWN
from hpcmtl.jobfile.views import SOURCES
from hpcmtl.networks.input_values import other_inputs
from hpcmtl.training.kinds.input_arrays import input_path
from hpcmtl.training.kinds.source_schemas import MixtureKeys

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

    from hpcmtl.jobfile.arrays import ArraySpec
    from hpcmtl.jobfile.findings import Finding
    from hpcmtl.networks.objective import Objective
    from hpcmtl.training.kinds.schemas import Head, Trained
    from hpcmtl.training.kinds.source_schemas import SourceKeys

MIXTURE = "mixture"
"""The key of a task."""
_NO_QUERIES = "numbers the queries of one data set, and the task has several `sources`; leave it out"


def with_batch_sizes(task: Trained) -> dict[str, object]:
    """Returns the keys of a task with several sources that follow from its other ones: the rows of its steps."""
    keys = task.mixture or MixtureKeys()
    if not task.sources or keys.how not in {"fixed", "round_robin"} or task.batch_size is None:
        return {}
    rest = {} if keys.how == "fixed" else dict.fromkeys(task.sources, task.batch_size)
    sizes = {**rest, **keys.batch_sizes}
    size = sum(sizes.values()) if keys.how == "fixed" else max(sizes.values())
    return {MIXTURE: keys.model_copy(update={"batch_sizes": sizes}), "batch_size": size}


def mixture_of(task: Trained, batch_size: int, sizes: Sequence[int]) -> Mixture:
    """Returns the mixture of a task with several sources.

    Args:
        task: the task, with its defaults.
        batch_size: samples of a step.
        sizes: number of the train samples of each source.
    """
    keys, names = task.mixture or MixtureKeys(), tuple(task.sources)
    return Mixture(
        how=keys.how,
        names=names,
        sizes=tuple(sizes),
        batch_size=batch_size,
        batch_sizes=tuple(keys.batch_sizes[name] for name in names) if keys.batch_sizes else (),
        temperature=keys.temperature or 1.0,
        epochs=task.epochs,
        steps=keys.steps,
        oversample=keys.oversample,
    )


def merged(objectives: Iterable[Objective]) -> dict[str, Objective]:
    """Returns one objective of each name: with a mask if one of that name has one, as labels are then missing."""
    found: dict[str, Objective] = {}
    for each in objectives:
        known = found.setdefault(each.name, each)
        if known.mask is None and each.mask is not None:
            found[each.name] = each
    return found


def check_keys(task: Trained) -> Iterator[Finding]:
    """Yields what is wrong with the keys of a task about sources."""
    if not task.sources:
        if task.mixture is not None:
            yield (MIXTURE,), "composes steps of several `sources`, and the task has none; leave it out"
        return
    for key in ("input", "target", "mask", "sample_weights", "query"):
        if getattr(task, key, None) is not None:
            text = "belongs to each of the `sources`; write it there, and leave it out here"
            yield (key,), _NO_QUERIES if key == "query" else text
    if task.sampler is not None:
        yield ("sampler",), "a task with several `sources` has a `mixture` instead; leave it out"
    if task.mixture is None:
        return
    sizes = task.mixture.batch_sizes
    for name in sizes:
        if name not in task.sources:
            yield (MIXTURE, "batch_sizes", name), f"there is no such source{nearest(name, task.sources)}"
    if task.mixture.how == "fixed" and (lacking := [name for name in task.sources if name not in sizes]):
        yield (MIXTURE, "batch_sizes"), f"has no number for {', '.join(lacking)}; write one for each source"


def check_increment(task: Trained, read: Iterable[str], files: Collection[str]) -> Iterator[Finding]:
    """Yields why a task cannot go on from an earlier run.

    Args:
        task: the task.
        read: references of its arrays.
        files: names of the data files of the job.
    """
    for key in ("sources", "sampler"):
        if getattr(task, key):
            yield ("increment",), f"does not go with `{key}`, which choose the samples in another way; leave one out"
    for producer in task.initialise:
        need = task.needs.get(producer)
        if need is not None and not need.live:
            text = f"begins with all parameters of an earlier run, which would overwrite those of {producer}"
            yield ("increment",), f"{text}; leave `initialise` or `increment` out"
    for reference in read:
        if reference.split("/", 1)[0] not in files:
            text = f"{reference} is made by a task, and new rows are told by those of a data file"
            yield ("increment",), f"{text}; seal it, and name it under `data`"


def check_heads(sources: Mapping[str, SourceKeys], heads: Mapping[str, Head]) -> Iterator[Finding]:
    """Yields sources that name a head that the task does not have, and heads without a source."""
    for name, source in sources.items():
        yield from _check_named_heads(name, source, heads)
        if source.target is not None or source.mask is not None:
            key = "target" if source.target is not None else "mask"
            yield (SOURCES, name, key), f"a joint task has {key}s by head: write `{key}s: {{HEAD: ...}}`"
        if not source.targets:
            yield (SOURCES, name), "has no targets; write `targets: {HEAD: source/dataset}`, or leave the source out"
    for head, keys in heads.items():
        for key in ("target", "mask"):
            if getattr(keys, key) is not None:
                yield ("heads", head, key), f"belongs to the `sources`: write `{key}s: {{{head}: ...}}` there"
        if keys.query is not None:
            yield ("heads", head, "query"), _NO_QUERIES
        if not any(head in source.targets for source in sources.values()):
            text = "no source has targets for it"
            yield ("heads", head), f"{text}; write `targets: {{{head}: source/dataset}}` in one of the `sources`"


def _check_named_heads(name: str, source: SourceKeys, heads: Collection[str]) -> Iterator[Finding]:
    for key, named in (("targets", source.targets), ("masks", source.masks)):
        for head in named:
            if head not in heads:
                yield (SOURCES, name, key, head), f"the task has no such head{nearest(head, heads)}"
            elif head not in source.targets:
                yield (SOURCES, name, key, head), "a mask belongs to a target, and the source has none for it"


def check_single(sources: Mapping[str, SourceKeys]) -> Iterator[Finding]:
    """Yields sources of a train task without the one target that it takes."""
    for name, source in sources.items():
        for key in ("targets", "masks"):
            if getattr(source, key):
                yield (
                    (SOURCES, name),
                    f"has `{key}`, but a train task has one objective: write `{key[:-1]}: SOURCE/ARRAY`",
                )
        if source.target is None and not source.targets:
            yield (SOURCES, name), "has no target; write `target: SOURCE/ARRAY`"


def check_names(inputs: Mapping[str, Mapping[str, str]]) -> Iterator[Finding]:
    """Yields sources that have other inputs than the first one; a network with optional inputs takes both.

    Args:
        inputs: source -> name of an input of the network -> reference.
    """
    (first, names), *others = inputs.items()
    for source, own in others:
        if problem := other_inputs(names, own):
            yield (SOURCES, source, "input"), f"{problem}; all sources have the inputs of {first}"


def check_samples(inputs: Mapping[str, Mapping[str, str]], arrays: Mapping[str, ArraySpec]) -> Iterator[Finding]:
    """Yields the source whose samples have another shape than those of the first one.

    Args:
        inputs: source -> name of an input of the network -> reference.
        arrays: known arrays by reference.
    """
    names = dict.fromkeys(name for each in inputs.values() for name in each)
    for name in names:
        yield from _check_input({source: each[name] for source, each in inputs.items() if name in each}, name, arrays)


def _check_input(inputs: Mapping[str, str], key: str, arrays: Mapping[str, ArraySpec]) -> Iterator[Finding]:
    known = {name: arrays.get(reference, UNKNOWN).shape for name, reference in inputs.items()}
    shapes = {name: shape for name, shape in known.items() if shape is not None}
    for name, shape in shapes.items():
        first = next(iter(shapes))
        if shape != shapes[first]:
            text = f"{inputs[name]} has samples of shape {shape}, but {inputs[first]} of shape {shapes[first]}"
            yield (SOURCES, name, *input_path(key)), f"{text}; all sources of a task are inputs of one network"


def check_target_shapes(views: Mapping[str, Sequence[Objective]], arrays: Mapping[str, ArraySpec]) -> Iterator[Finding]:
    """Yields targets of an objective that have another shape in one source than in another.

    Args:
        views: source -> its objectives.
        arrays: known arrays by reference.
    """
    first: dict[str, Objective] = {}
    for source, objectives in views.items():
        for each in objectives:
            other = first.setdefault(each.name, each)
            one, two = (arrays.get(target, UNKNOWN).shape for target in (each.target, other.target))
            if one is not None and two is not None and math.prod(one) != math.prod(two):
                text = f"{each.target} has samples of shape {one}, but {other.target} of shape {two}"
                yield (SOURCES, source), f"{text}; targets of one objective have one shape"


def check_epoch(mixture: Mixture) -> Iterator[Finding]:
    """Yields an epoch that the sources cannot give."""
    empty = [name for name, size in zip(mixture.names, mixture.sizes, strict=True) if not size]
    if empty:  # said of the source itself
        return
    try:
        epoch_steps(mixture)
    except UnfitMixtureError as error:
        yield (MIXTURE,), str(error)
