"""The arrays that the inputs of a network read, by the names of the inputs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hpcmtl.errors import nearest
from hpcmtl.jobfile.arrays import UNKNOWN
from hpcmtl.jobfile.transforms import mixup_of
from hpcmtl.networks.input_values import INPUT

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

    from hpcmtl.jobfile.arrays import ArraySpec
    from hpcmtl.jobfile.findings import Finding
    from hpcmtl.jobfile.transforms import Transform
    from hpcmtl.networks.shapes import InputShapes, Shape


def input_path(name: str) -> tuple[str, ...]:
    """Returns the path of keys, inside a task, to the reference of an input."""
    return ("input",) if name == INPUT else ("input", name)


def transform_path(name: str) -> tuple[str, ...]:
    """Returns the path of keys, inside a task, to the transforms of an input."""
    return ("transform",) if name == INPUT else ("transform", name)


def check_transformed(inputs: Collection[str], transformed: Collection[str]) -> Iterator[Finding]:
    """Yields transforms of inputs that a task does not have.

    Args:
        inputs: names of the inputs of its network.
        transformed: names of the inputs whose samples get transforms.
    """
    for name in transformed:
        if name in inputs:
            continue
        if name == INPUT:
            listed = f"{next(iter(inputs))}: [...]"
            yield ("transform",), f"the task has inputs by name, each with its own: write `transform: {{{listed}}}`"
        elif set(inputs) == {INPUT}:
            yield transform_path(name), "the task has one input without a name; write its transforms as a list"
        else:
            yield transform_path(name), f"the task has no input {name!r}{nearest(name, inputs)}"


def check_mixed(inputs: Collection[str], transforms: Mapping[str, Sequence[Transform]]) -> Iterator[Finding]:
    """Yields inputs that are not mixed as others of the same task are.

    Args:
        inputs: names of the inputs of its network.
        transforms: name of an input -> its transforms.
    """
    mixed = {name: mixup_of(transforms.get(name, ())) for name in inputs}
    given = next((each for each in mixed.values() if each is not None), None)
    for name, own in mixed.items():
        if given is not None and own != given:
            text = f"mixup mixes whole samples: write it with alpha {given.alpha:g} for each input, or for none"
            yield transform_path(name), text


def sample_shapes(inputs: Mapping[str, str], arrays: Mapping[str, ArraySpec]) -> InputShapes | None:
    """Returns the shape of one sample of each input; None where only running other tasks shows one of them.

    Args:
        inputs: name of an input -> reference.
        arrays: known arrays by reference.
    """
    shapes = {name: arrays.get(reference, UNKNOWN).shape for name, reference in inputs.items()}
    known = {name: shape for name, shape in shapes.items() if shape is not None}
    return known if len(known) == len(shapes) else None


def rows_of_inputs(inputs: Mapping[str, str], arrays: Mapping[str, ArraySpec]) -> ArraySpec:
    """Returns an input whose number of samples and split are known, as all have the same ones."""
    read = [arrays.get(reference, UNKNOWN) for reference in inputs.values()]
    return next((each for each in read if each.samples is not None and each.split is not None), read[0])


def tells_tokens(inputs: Mapping[str, str], arrays: Mapping[str, ArraySpec], shape: Shape | None) -> bool:
    """Returns whether an output of some shape has as many values as the longest sequence of an input."""
    read = [arrays.get(reference, UNKNOWN) for reference in inputs.values()]
    lengths = {each.shape[0] for each in read if each.ragged and each.shape}
    return bool(shape) and shape is not None and shape[0] in lengths
