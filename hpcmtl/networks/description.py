"""Descriptions of networks that are composed of models of the zoo, of the user, or of parts of other networks.

Everything here is pure: it needs neither a job nor a framework. Shapes are those of one sample, without a batch axis.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from hpcmtl.networks.input_values import INPUT
from hpcmtl.networks.objective import MAIN
from hpcmtl.networks.shapes import NetworkSize, ShapeError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from hpcmtl.networks.input_values import InputValues
    from hpcmtl.networks.shapes import InputShapes, Shape
    from hpcmtl.networks.zoo import Model


@dataclass(frozen=True)
class Leaf:
    """A model of the zoo or of the user."""

    model: Model


@dataclass(frozen=True)
class Part:
    """A named part of a network."""

    whole: NetworkDescription
    part: str


@dataclass(frozen=True)
class Shared:
    """A trunk and the heads on top of it."""

    trunk: NetworkDescription
    heads: tuple[tuple[str, NetworkDescription], ...]


NetworkDescription = Leaf | Part | Shared


def parts_of(network: NetworkDescription) -> tuple[str, ...] | None:
    """Returns the parts of a network that may be named; None where only building the network shows them."""
    if isinstance(network, Leaf):
        return network.model.parts
    return ("trunk",) if isinstance(network, Shared) else ()


def input_values(network: NetworkDescription, name: str = INPUT) -> InputValues:
    """Returns the values that a network takes at one of its inputs; those of a part are taken for its network's."""
    if isinstance(network, Leaf):
        return network.model.input_values(name)
    return input_values(network.whole if isinstance(network, Part) else network.trunk, name)


def input_names(network: NetworkDescription) -> tuple[str, ...] | None:
    """Returns the names of the inputs that a network takes; None where only building it shows them."""
    if isinstance(network, Leaf):
        return network.model.input_names
    return input_names(network.whole if isinstance(network, Part) else network.trunk)


def values_by_input(network: NetworkDescription, names: Iterable[str]) -> dict[str, InputValues]:
    """Returns the values that a network takes at each of its inputs."""
    return {name: input_values(network, name) for name in names}


def takes_any_length(network: NetworkDescription, name: str = INPUT) -> bool:
    """Returns whether a network takes samples of other lengths at an input than the longest, for which it is built.

    Networks of the user's are taken for such. A network with heads is one if its heads are, or get no lengths.
    """
    if isinstance(network, Leaf):
        return network.model.takes_any_length(name)
    if isinstance(network, Part):
        return takes_any_length(network.whole, name)
    heads = all(takes_any_length(head) for _, head in network.heads)
    return takes_any_length(network.trunk, name) and (heads or not keeps_length(network.trunk))


def keeps_length(network: NetworkDescription) -> bool:
    """Returns whether the outputs of a network may be as long as its samples; those of the user's networks may."""
    try:
        one, two = (output_shape(network, {INPUT: (length,)}) for length in (1, 2))
    except ShapeError:
        return False
    return one is None or one != two


def output_shape(network: NetworkDescription, samples: InputShapes) -> Shape | None:
    """Returns the shape of one sample after the network, or after the trunk alone if the network is shared.

    Returns:
        The shape; None where only building the network shows it.

    Raises:
        ShapeError: the network cannot take such samples.
    """
    if isinstance(network, Leaf):
        return network.model.output_shape(samples)
    if isinstance(network, Shared):
        return output_shape(network.trunk, samples)
    if isinstance(network.whole, Leaf):
        return network.whole.model.output_shape(samples, network.part)
    return output_shape(network.whole, samples)


def objective_shapes(network: NetworkDescription, samples: InputShapes) -> dict[str, Shape | None]:
    """Returns the shape of one sample of each objective's output, by the objective's name.

    Raises:
        ShapeError: the network cannot take such samples.
    """
    if not isinstance(network, Shared):
        return {MAIN: output_shape(network, samples)}
    code = output_shape(network.trunk, samples)
    for name, head in network.heads:
        if input_values(head).integers:
            raise ShapeError(f"the head {name} takes integers, but a trunk puts out floats; use another model for it")
    return {name: output_shape(head, {INPUT: code}) if code is not None else None for name, head in network.heads}


def size_of(network: NetworkDescription, samples: InputShapes) -> NetworkSize:
    """Returns the size of a network; a piece whose size only building it shows counts as nothing.

    Raises:
        ShapeError: the network cannot take such samples.
    """
    if isinstance(network, Leaf):
        return network.model.size(samples) or NetworkSize(0, 0)
    if isinstance(network, Part):
        whole = network.whole
        if isinstance(whole, Leaf):
            return whole.model.size(samples, network.part) or NetworkSize(0, 0)
        return size_of(whole.trunk if isinstance(whole, Shared) else whole, samples)  # its only part is its trunk
    code = output_shape(network.trunk, samples)
    heads = () if code is None else (size_of(head, {INPUT: code}) for _, head in network.heads)
    return size_of(network.trunk, samples).plus(*heads)
