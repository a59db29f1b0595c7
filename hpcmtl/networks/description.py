"""Descriptions of networks that are composed of models of the zoo, of the user, or of parts of other networks.

Everything here is pure: it needs neither a job nor a framework. Shapes are those of one sample, without a batch axis.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from hpcmtl.networks.branch_graph import CODES
from hpcmtl.networks.coupled_heads import TRUNK, HeadInputs, HeadShapeError, joined_samples, joins, order_of_heads
from hpcmtl.networks.input_values import INPUT
from hpcmtl.networks.objective import MAIN
from hpcmtl.networks.shapes import NetworkSize, ShapeError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from hpcmtl.networks.branch_graph import BranchGraph
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
    """A trunk and the heads on top of it; a head that is a part belongs to the network that the trunk is cut from.

    Attributes:
        trunk: the trunk.
        heads: the heads by name, in the order of the outputs.
        inputs: inputs of those heads that take outputs of other heads.
    """

    trunk: NetworkDescription
    heads: tuple[tuple[str, NetworkDescription], ...]
    inputs: tuple[tuple[str, HeadInputs], ...] = ()

    def inputs_of(self, head: str) -> HeadInputs:
        """Returns the inputs of a head: the output of the trunk unless it has others."""
        return dict(self.inputs).get(head, _OF_TRUNK)

    @property
    def order(self) -> tuple[str, ...]:
        """Returns the heads in the order of their computation."""
        return order_of_heads([name for name, _ in self.heads], {name: each.names for name, each in self.inputs})


_OF_TRUNK = HeadInputs((TRUNK,))


class Architecture(Protocol):
    """The kind of sharing between the heads of a joint network."""

    @property
    def name(self) -> str:
        """Returns the name that the job file has for it."""
        ...

    @property
    def gates_inputs(self) -> bool:
        """Returns whether gates read the inputs of the network, flattened, as numbers."""
        ...

    @property
    def further(self) -> tuple[NetworkDescription, ...]:
        """Returns the networks that it has beside copies of the trunk."""
        ...

    def copies(self, heads: Sequence[str]) -> tuple[str, ...]:
        """Returns the names of the copies of the trunk: beginnings of the names of their parameters."""
        ...

    def problem(self, trunk: NetworkDescription) -> str | None:
        """Returns why it cannot have a network for its trunk; None if it can."""
        ...

    def graph(self, trunk: NetworkDescription, heads: Sequence[str], inputs: InputShapes) -> BranchGraph:
        """Returns the graph from inputs of some shapes to the codes of the heads.

        Raises:
            ShapeError: the trunk cannot take such inputs, or has no layers that the architecture could use.
        """
        ...


@dataclass(frozen=True)
class Branches:
    """The trunk of a joint network that makes a code for each head, by an architecture."""

    trunk: NetworkDescription
    heads: tuple[str, ...]
    architecture: Architecture

    def graph(self, inputs: InputShapes) -> BranchGraph:
        """Returns the graph for inputs of some shapes.

        Raises:
            ShapeError: see `Architecture.graph`.
        """
        return self.architecture.graph(self.trunk, self.heads, inputs)

    @property
    def networks(self) -> tuple[NetworkDescription, ...]:
        """Returns the networks of which it has copies."""
        return (self.trunk, *self.architecture.further)


NetworkDescription = Leaf | Part | Shared | Branches


def parts_of(network: NetworkDescription) -> tuple[str, ...] | None:
    """Returns the parts of a network that may be named; None where only building the network shows them."""
    if isinstance(network, Leaf):
        return network.model.parts
    if not isinstance(network, Shared):
        return ()
    several = isinstance(network.trunk, Branches)
    return tuple(f"trunk.{CODES}.{name}" for name, _ in network.heads) if several else ("trunk",)


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
    if isinstance(network, Branches):
        return takes_any_length(network.trunk, name) and not network.architecture.gates_inputs
    heads = all(
        takes_any_length(head, each)
        for key, head in network.heads
        for each in _names_taken(head, network.inputs_of(key).names)
    )
    return takes_any_length(network.trunk, name) and (heads or not keeps_length(network.trunk))


def _names_taken(head: NetworkDescription, given: tuple[str, ...]) -> tuple[str, ...]:
    """Returns the names by which a head takes its inputs."""
    return (INPUT,) if joins(input_names(head)) else given


def keeps_length(network: NetworkDescription) -> bool:
    """Returns whether the outputs of a network may be as long as its samples; those of the user's networks may."""
    try:
        one, two = (output_shape(network, {INPUT: (length,)}) for length in (1, 2))
    except ShapeError:
        return False
    return one is None or one != two


def output_shape(network: NetworkDescription, samples: InputShapes) -> Shape | None:
    """Returns the shape of one sample after the network, or of a head's code if the network is shared.

    Returns:
        The shape; None where only building the network shows it.

    Raises:
        ShapeError: the network cannot take such samples.
    """
    if isinstance(network, Leaf):
        return network.model.output_shape(samples)
    if isinstance(network, Shared):
        return output_shape(network.trunk, samples)
    if isinstance(network, Branches):
        return network.graph(samples).code_shape(samples)
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
    return {name: made for name, (_, made) in _shapes_of_heads(network, samples).items()}


def _shapes_of_heads(network: Shared, samples: InputShapes) -> dict[str, tuple[InputShapes | None, Shape | None]]:
    """Returns the shapes of one sample of inputs and output of each head; None where only building shows them.

    Raises:
        ShapeError: the trunk or a head cannot take such samples.
    """
    heads, made = dict(network.heads), {TRUNK: output_shape(network.trunk, samples)}
    found: dict[str, tuple[InputShapes | None, Shape | None]] = {}
    for name in network.order:
        head, names = heads[name], network.inputs_of(name).names
        if not isinstance(head, Part) and any(input_values(head, n).integers for n in _names_taken(head, names)):
            raise ShapeError(f"the head {name} takes integers, but a trunk puts out floats; use another model for it")
        given = {each: shape for each in names if (shape := made.get(each)) is not None}
        own: InputShapes | None = samples
        if not isinstance(head, Part):
            own = joined_samples(name, given, input_names(head)) if len(given) == len(names) else None
        made[name] = None if own is None else _output_of_head(network, name, own)
        found[name] = own, made[name]
    return {name: found[name] for name in heads}


def _output_of_head(network: Shared, name: str, samples: InputShapes) -> Shape | None:
    head = dict(network.heads)[name]
    try:
        return output_shape(head, samples)
    except ShapeError as error:
        if network.inputs_of(name) is _OF_TRUNK:
            raise
        raise HeadShapeError(name, str(error)) from error


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
        return size_of(whole.trunk if isinstance(whole, Shared) else whole, samples)  # parts are of its trunk
    if isinstance(network, Branches):
        return network.graph(samples).size(samples)
    given, size = _shapes_of_heads(network, samples), size_of(network.trunk, samples)
    cut = network.trunk.trunk if isinstance(network.trunk, Branches) else network.trunk
    for name, head in network.heads:
        own = given[name][0]
        if isinstance(head, Part):  # what its network has behind the trunk
            rest = zip(size_of(head.whole, samples), size_of(cut, samples), strict=True)
            size = size.plus(NetworkSize(*(max(whole - part, 0) for whole, part in rest)))
        elif own is not None:
            size = size.plus(size_of(head, own))
    return size
