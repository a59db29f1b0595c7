"""Descriptions of networks that are composed of models of the zoo, of the user, or of parts of other networks.

Everything here is pure: it needs neither a job nor a framework. Shapes are those of one sample, without a batch axis.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from hpcmtl.networks.models import NetworkSize, ShapeError
from hpcmtl.networks.objective import MAIN

if TYPE_CHECKING:
    from hpcmtl.networks.input_values import InputValues
    from hpcmtl.networks.models import Model, Shape


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


def input_values(network: NetworkDescription) -> InputValues:
    """Returns the values of the samples that a network takes; those of a part are taken for those of its network."""
    if isinstance(network, Leaf):
        return network.model.input_values
    return input_values(network.whole if isinstance(network, Part) else network.trunk)


def output_shape(network: NetworkDescription, sample: Shape) -> Shape | None:
    """Returns the shape of one sample after the network, or after the trunk alone if the network is shared.

    Returns:
        The shape; None where only building the network shows it.

    Raises:
        ShapeError: the network cannot take such samples.
    """
    if isinstance(network, Leaf):
        return network.model.output_shape(sample)
    if isinstance(network, Shared):
        return output_shape(network.trunk, sample)
    if isinstance(network.whole, Leaf):
        return network.whole.model.output_shape(sample, network.part)
    return output_shape(network.whole, sample)


def objective_shapes(network: NetworkDescription, sample: Shape) -> dict[str, Shape | None]:
    """Returns the shape of one sample of each objective's output, by the objective's name.

    Raises:
        ShapeError: the network cannot take such samples.
    """
    if not isinstance(network, Shared):
        return {MAIN: output_shape(network, sample)}
    code = output_shape(network.trunk, sample)
    for name, head in network.heads:
        if input_values(head).integers:
            raise ShapeError(f"the head {name} takes integers, but a trunk puts out floats; use another model for it")
    return {name: output_shape(head, code) if code is not None else None for name, head in network.heads}


def size_of(network: NetworkDescription, sample: Shape) -> NetworkSize:
    """Returns the size of a network; a piece whose size only building it shows counts as nothing.

    Raises:
        ShapeError: the network cannot take such samples.
    """
    if isinstance(network, Leaf):
        return network.model.size(sample) or NetworkSize(0, 0)
    if isinstance(network, Part):
        whole = network.whole
        if isinstance(whole, Leaf):
            return whole.model.size(sample, network.part) or NetworkSize(0, 0)
        return size_of(whole.trunk if isinstance(whole, Shared) else whole, sample)  # its only part is its trunk
    code = output_shape(network.trunk, sample)
    heads = () if code is None else (size_of(head, code) for _, head in network.heads)
    return size_of(network.trunk, sample).plus(*heads)
