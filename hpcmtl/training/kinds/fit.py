"""Checks that the samples of an array fit a network, and the outputs of the network their targets."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

from hpcmtl.errors import nearest
from hpcmtl.jobfile.arrays import UNKNOWN
from hpcmtl.networks.coupled_heads import HeadShapeError
from hpcmtl.networks.description import input_names, input_values, objective_shapes, parts_of
from hpcmtl.networks.input_values import other_inputs
from hpcmtl.networks.objective import MAIN, NAN
from hpcmtl.networks.shapes import ShapeError
from hpcmtl.training.kinds.coupled_heads import check_shapes
from hpcmtl.training.kinds.input_arrays import input_path, sample_shapes
from hpcmtl.training.kinds.metric_fit import REGRESSION_LOSSES, metric_problem

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from hpcmtl.jobfile.arrays import ArraySpec
    from hpcmtl.jobfile.findings import Finding
    from hpcmtl.networks.consistency import Consistency
    from hpcmtl.networks.description import NetworkDescription
    from hpcmtl.networks.objective import Objective
    from hpcmtl.networks.shapes import Shape

_WORDS = {"U": "text", "S": "bytes", "c": "complex numbers", "M": "date", "m": "time", "O": "object"}
"""Words for kinds of numpy types that a network does not take."""
NETWORK_KINDS = "iufb"
"""Kinds of numpy types that a network takes: whole numbers, floats and truth values."""


def check_part(path: tuple[str, ...], network: NetworkDescription, part: str) -> Iterator[Finding]:
    """Yields a problem if a network does not have a part; a network that only building describes is not checked."""
    valid = parts_of(network)
    if valid is not None and part not in valid:
        yield path, f"the network has no part {part!r}{nearest(part, valid)}"


def check_fit(
    network: NetworkDescription,
    inputs: Mapping[str, str],
    objectives: tuple[Objective, ...],
    arrays: Mapping[str, ArraySpec],
    consistency: tuple[Consistency, ...] = (),
) -> Iterator[Finding]:
    """Yields the key of each array that does not fit a network, as far as shapes are known.

    Args:
        network: description of the network.
        inputs: name of an input of the network -> reference.
        objectives: objectives whose targets are compared with the outputs.
        arrays: known arrays by reference.
        consistency: losses between outputs.
    """
    unfit = list(_unfit_inputs(network, inputs, arrays))
    yield from unfit
    if unfit:
        return
    samples = sample_shapes(inputs, arrays)
    try:
        shapes = {} if samples is None else objective_shapes(network, samples)
    except HeadShapeError as error:
        yield ("heads", error.head, "inputs"), str(error)
        return
    except ShapeError as error:
        yield ("input",), f"{' and '.join(inputs.values())}: {error}"
        return
    for objective in objectives:
        made = shapes.get(objective.name)
        for key, problem in objective_problems(objective, made, arrays.get(objective.target, UNKNOWN)):
            yield objective_path(objective, key), problem
    yield from check_shapes(consistency, shapes)


def _unfit_inputs(
    network: NetworkDescription, inputs: Mapping[str, str], arrays: Mapping[str, ArraySpec]
) -> Iterator[Finding]:
    """Yields inputs that a network does not take, or whose values are of a type that it does not take."""
    names = input_names(network)
    if names is not None and (problem := other_inputs(names, inputs)) is not None:
        yield ("input",), problem
        return
    for name, reference in inputs.items():
        array = arrays.get(reference, UNKNOWN)
        if array.kind not in NETWORK_KINDS:
            yield input_path(name), _no_numbers(reference, array)
        elif array.shape is not None and array.kind == "f" and input_values(network, name).integers:
            text = f"{reference} has floating point numbers (or a `scale`)"
            yield (
                input_path(name),
                f"{text}, but the network takes integers, such as tokens; name an array of an integer type",
            )


def check_weights(reference: str, array: ArraySpec) -> Iterator[Finding]:
    """Yields a problem if an array cannot be the weights of samples, as far as it is known."""
    if array.kind not in NETWORK_KINDS:
        yield ("sample_weights",), _no_numbers(reference, array)
    elif array.shape:  # neither () nor unknown
        text = f"a sample has one weight, but {reference} has samples of shape {array.shape}"
        yield ("sample_weights",), f"{text}; name an array with one number a sample"


def _no_numbers(reference: str, array: ArraySpec) -> str:
    known = _WORDS.get(array.kind, f"kind {array.kind!r}")
    return f"{reference} has values of type {known}; a network takes numbers or truth values"


def check_labels(objectives: tuple[Objective, ...], arrays: Mapping[str, ArraySpec]) -> Iterator[Finding]:
    """Yields a problem for each `missing` or `mask` that its target cannot have, as far as arrays are known."""
    for objective in objectives:
        target = arrays.get(objective.target, UNKNOWN)
        if objective.missing == NAN and target.shape is not None and target.kind != "f":
            text = f"{objective.target} has whole numbers, none of which is NaN"
            yield objective_path(objective, "missing"), f"{text}; name the number that stands for a missing label"
        if objective.mask is not None:
            mask = arrays.get(objective.mask, UNKNOWN)
            for problem in _mask_problems(objective, objective.mask, mask, target):
                yield objective_path(objective, "mask"), problem


def _mask_problems(objective: Objective, reference: str, mask: ArraySpec, target: ArraySpec) -> Iterator[str]:
    name = objective.target
    if mask.kind not in NETWORK_KINDS:
        yield _no_numbers(reference, mask)
    elif mask.shape and target.shape is not None and mask.shape != target.shape:  # neither () nor unknown
        text = f"{reference} has samples of shape {mask.shape}, but {name} of shape {target.shape}"
        yield f"{text}; a mask has one number a sample, or one a label"
    elif mask.shape and mask.ragged != target.ragged:
        text = f"{reference} and {name} must both be sequences, of the same lengths, or both have one length"
        yield f"{text}; or name a mask with one number a sample"
    elif mask.shape and not objective.has_label_losses:
        text = f"{reference} has a number for each of several labels, but {objective.loss} gives one value for all"
        yield f"{text}; use l2, l1, huber or sigmoid_bce, or a mask with one number a sample"


def objective_path(objective: Objective, key: str) -> tuple[str, ...]:
    """Returns the path of a key of an objective inside its task."""
    return (key,) if objective.name == MAIN else ("heads", objective.name, key)


def objective_problems(objective: Objective, made: Shape | None, target: ArraySpec) -> Iterator[tuple[str, str]]:
    """Yields what does not fit in an objective, as far as shapes are known: (key of the objective, message).

    Args:
        objective: the objective.
        made: shape of one sample of the network's output; None where it is not known.
        target: description of the targets.
    """
    problem = None
    if objective.per_token:
        problem = _token_problem(objective, made, target)
        made = made[1:] if made else None  # a token is now what a sample is for other objectives
        target = replace(target, shape=target.shape[1:] if target.shape else None, ragged=False)
    elif target.ragged:
        problem = f"{objective.target} has labels for each token of a sample; write `per_token: true`"
    if problem is None and made is not None and target.shape is not None:
        problem = _misfit(objective, made, target)
    if target.kind not in NETWORK_KINDS:
        problem = _no_numbers(objective.target, target)
    if problem:
        yield "target", problem
        return
    if objective.class_weights is not None and (wrong := _class_weights_problem(objective, made, target)):
        yield "class_weights", wrong
    for metric in objective.metrics:
        problem = metric_problem(metric, objective, made, target)
        if problem:
            yield "metrics", problem


def _token_problem(objective: Objective, made: Shape | None, target: ArraySpec) -> str | None:
    """Returns why an objective cannot have a label for each token, else None."""
    if ":" in objective.loss:
        return f"`per_token` needs the losses of tokens; {objective.loss} may mix them, so use a loss by its name"
    if target.shape == ():
        return f"{objective.target} has one label a sample; leave `per_token` out"
    if made is None or target.shape is None or made[:1] == target.shape[:1]:
        return None
    text = f"the network makes samples of shape {made}, but {objective.target} has up to {target.shape[0]} labels"
    remedy = "use a network with outputs for each, as embedding_rnn with `per_token: true`"
    return f"{text} a sample, one for each token; {remedy}"


def _class_weights_problem(objective: Objective, made: Shape | None, target: ArraySpec) -> str | None:
    """Returns why the labels of an objective have no weights by class, or another number of them; None if they have."""
    if objective.loss in REGRESSION_LOSSES:
        return f"{objective.loss} trains numbers, which have no classes; leave `class_weights` out"
    if target.shape is not None and math.prod(target.shape) != 1:
        return f"{objective.target} has several labels a sample; `class_weights` are for one class number a sample"
    classes = None if made is None or len(made) != 1 else max(made[0], 2)
    given = objective.class_weights
    if classes is not None and given is not None and given != "balanced" and len(given) != classes:
        return f"found {len(given)} weights for {classes} classes; write one for each, in the order of their numbers"
    return None


def _misfit(objective: Objective, made: Shape, target: ArraySpec) -> str | None:
    """Returns a message if an output of shape `made` does not fit its target, else None."""
    name, shape = objective.target, target.shape
    if objective.loss == "softmax_ce":
        if shape != ():
            return f"softmax_ce needs one whole number a sample, but {name} has samples of shape {shape}"
        if target.kind not in "iub" and objective.missing != NAN:  # whole numbers have no NaN
            text = f"softmax_ce needs one whole number a sample, but {name} has floating point numbers"
            return f"{text}; write whole numbers, e.g. labels.astype('int64')"
        if len(made) != 1:
            return f"softmax_ce needs one score a class, but the network makes samples of shape {made}"
        if target.classes is not None and made[0] < target.classes:
            return f"{name} has {target.classes} classes but the network makes {made[0]} outputs; it needs one a class"
        return None
    scalar = made == (1,) and shape == ()
    if objective.loss in {"l2", "l1", "huber", "sigmoid_bce"} and made != shape and not scalar:
        text = f"the network makes samples of shape {made}, but {name} has samples of shape {shape}"
        wanted = 1 if shape == () else shape[0] if shape is not None and len(shape) == len(made) == 1 else None
        return text if wanted is None else f"{text}: write `outputs: {wanted}`"
    return None
