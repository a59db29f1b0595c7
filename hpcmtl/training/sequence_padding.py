"""Padding of the sequences that a task reads: the lengths of its batches, and the arrays that must have one length."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from hpcmtl.data.hdf5 import numbers_in
from hpcmtl.data.padding import default_buckets, make_padding
from hpcmtl.errors import InputError, Problem
from hpcmtl.networks.description import takes_any_length
from hpcmtl.training.step_input import INPUT_ROWS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from hpcmtl.arrays import Arrays, Ints
    from hpcmtl.data.padding import Padding
    from hpcmtl.data.sources import Source
    from hpcmtl.networks.description import NetworkDescription
    from hpcmtl.networks.shapes import Shape


def with_padding(
    sources: Mapping[str, Source], network: NetworkDescription, buckets: Sequence[int] | None = None
) -> dict[str, Source]:
    """Returns sources, by key, with the padding of those whose samples differ in length.

    Args:
        sources: sources by key.
        network: network that takes the samples; one that takes a single length gets all padded to the longest.
        buckets: lengths to which batches are padded; None for some that fit the train samples.

    Raises:
        InputError: labels have other lengths than the samples of every input.
    """
    found = {key: source.lengths() for key, source in sources.items()}
    ragged = {key: lengths for key, lengths in found.items() if lengths is not None}
    inputs = {key: each for key, each in ragged.items() if key.startswith(INPUT_ROWS)}
    named = {sources[key].dataset: each for key, each in inputs.items()}
    problems = [
        Problem(f"{sources[key].path}: {sources[key].dataset}", problem)
        for key, lengths in ragged.items()
        if key not in inputs and (problem := lengths_problem(lengths, named))
    ]
    if problems:
        raise InputError(problems)
    padded = dict(sources)
    for key, lengths in ragged.items():
        like = next((each for each, others in inputs.items() if np.array_equal(lengths, others)), key)
        free = takes_any_length(network, like.removeprefix(INPUT_ROWS))
        padding = make_padding(lengths, _buckets(sources[key], lengths, buckets) if free else ())
        padded[key] = replace(sources[key], padding=padding)
    return padded


def lengths_problem(lengths: Ints, inputs: Mapping[str, Ints]) -> str | None:
    """Returns what is wrong with the lengths of labels, which are those of some input; None if nothing is.

    Args:
        lengths: (samples,) numbers of labels of each sample.
        inputs: name of a ragged input -> lengths of its samples.
    """
    if not inputs:
        return "has a label for each token, but the samples of the input have one length; store it as sequences as well"
    differ = {name: np.flatnonzero(lengths != each) for name, each in inputs.items() if len(each) == len(lengths)}
    if len(differ) < len(inputs) or not all(map(len, differ.values())):
        return None  # numbers of samples are compared elsewhere
    name, places = next(iter(differ.items()))
    at = int(places[0])
    return f"sample {at} has {lengths[at]} labels, but {inputs[name][at]} tokens in {name}; give each token a label"


def _buckets(source: Source, lengths: Ints, buckets: Sequence[int] | None) -> Sequence[int]:
    if buckets is not None:
        return buckets
    train = numbers_in(source.split(), ["train"])
    return default_buckets(lengths[train] if len(train) else lengths)


def outputs_per_token(
    network: NetworkDescription, outputs: Callable[[Mapping[str, Shape]], Arrays], inputs: Mapping[str, Source]
) -> dict[str, Padding]:
    """Returns the outputs of a network that have a value for each token of an input, with the padding of the input.

    These are the outputs whose first axis is as long as samples of the input, and becomes shorter with them.

    Args:
        network: the network.
        outputs: function of the shapes of a sample to outputs of the network, (1, ...).
        inputs: inputs of the network by name.
    """
    ragged = {
        name: each.padding
        for name, each in inputs.items()
        if each.padding is not None and takes_any_length(network, name)
    }
    if not ragged:
        return {}
    shapes = {name: each.described().datasets[each.dataset].shape for name, each in inputs.items()}
    shorter = {n: (max(shape[0] - 1, 1), *shape[1:]) if n in ragged else shape for n, shape in shapes.items()}
    whole, again = outputs(shapes), outputs(shorter)
    found: dict[str, Padding] = {}
    for key, array in whole.items():
        for name, padding in ragged.items():
            if array.shape[1:2] == shapes[name][:1] and again[key].shape[1:2] == shorter[name][:1]:
                found.setdefault(key, padding)
    return found
