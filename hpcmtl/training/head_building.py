"""Builds the heads of a joint network in the order of their computation, for every framework."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hpcmtl.errors import InputError, Problem
from hpcmtl.networks.coupled_heads import TRUNK, joined_samples
from hpcmtl.networks.description import Part, input_names, input_values, output_shape
from hpcmtl.networks.input_values import FLOATS, INPUT
from hpcmtl.networks.shapes import ShapeError
from hpcmtl.training.input_names import takes_by_name

if TYPE_CHECKING:
    import inspect
    from collections.abc import Callable, Mapping, Sequence

    from hpcmtl.networks.coupled_heads import HeadInputs
    from hpcmtl.networks.description import NetworkDescription, Shared
    from hpcmtl.networks.input_values import InputValues
    from hpcmtl.networks.shapes import InputShapes, Shape


@dataclass(frozen=True, kw_only=True)
class BuildingFunctions:
    """The functions of a framework that build heads.

    Attributes:
        build: makes the block of a network for samples of some shapes.
        arguments: returns the arguments of the forward pass of a block that are inputs.
        shape: returns the shape of one output sample of a block by running it, on samples of some shapes and values.
    """

    build: Callable[[NetworkDescription, InputShapes], Any]
    arguments: Callable[[Any], Sequence[inspect.Parameter]]
    shape: Callable[[Any, InputShapes, Mapping[str, InputValues]], Shape]


@dataclass(frozen=True, kw_only=True)
class BuiltHead:
    """A head with its block.

    Attributes:
        name: name of the head.
        block: block of the framework.
        inputs: outputs that it takes.
        samples: shapes of the samples that the block takes: those of the inputs by name, or that of all joined.
    """

    name: str
    block: Any
    inputs: HeadInputs
    samples: InputShapes

    @property
    def by_name(self) -> bool:
        """Returns whether the block takes its inputs by their names, not joined on the last axis."""
        return self.samples.keys() != {INPUT}

    @property
    def joined_axis(self) -> int:
        """Returns the last axis of a batch of its inputs."""
        return len(next(iter(self.samples.values())))


def build_heads(network: Shared, samples: InputShapes, code: Shape, functions: BuildingFunctions) -> list[BuiltHead]:
    """Returns the heads in the order of their computation.

    Args:
        network: network whose heads take outputs of each other.
        samples: shape of one sample of each input of the network, for heads that are parts of others.
        code: shape of one sample of the trunk's output.
        functions: functions of the framework.

    Raises:
        InputError: a head cannot be built, or cannot take its inputs.
    """
    heads, made, built = dict(network.heads), {TRUNK: code}, list[BuiltHead]()
    wanted = {each for _, inputs in network.inputs for each in inputs.names}
    for name in network.order:
        head, inputs = heads[name], network.inputs_of(name)
        given, is_part = {each: made[each] for each in inputs.names}, isinstance(head, Part)
        try:
            # A part is built as the network that it belongs to, and takes what the trunk puts out.
            block, own = (
                (functions.build(head, samples), {INPUT: code}) if is_part else _built(name, head, given, functions)
            )
            if name in wanted:
                values = {each: FLOATS if is_part else input_values(head, each) for each in own}
                made[name] = output_shape(head, samples if is_part else own) or functions.shape(block, own, values)
        except ShapeError as error:
            raise InputError([Problem("heads", str(error))]) from error
        built.append(BuiltHead(name=name, block=block, inputs=inputs, samples=own))
    return built


def _built(
    name: str, head: NetworkDescription, given: Mapping[str, Shape], functions: BuildingFunctions
) -> tuple[Any, InputShapes]:
    """Returns the block of a head for inputs of some shapes, and the shapes of the samples that it takes."""
    names = input_names(head)
    if names is not None:
        samples = joined_samples(name, given, names)
        return functions.build(head, samples), samples
    block = functions.build(head, given)
    return block, given if takes_by_name(functions.arguments(block), given) else joined_samples(name, given, None)
