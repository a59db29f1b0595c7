"""Graphs of cells that make a code for each head of a joint network; each framework builds and runs them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from hpcmtl.networks.input_values import INPUT
from hpcmtl.networks.shapes import NetworkSize, ShapeError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hpcmtl.networks.shapes import InputShapes, Shape

CODES = "codes"
"""Beginning of the names of the nodes that are codes of heads."""


class Cell(Protocol):
    """The computation of a node. Shapes are those of one sample; None where only running shows them."""

    @property
    def takes_inputs(self) -> bool:
        """Returns whether the cell takes inputs by name: those of the network, or one value as its only input."""
        ...

    def output_shape(self, inputs: InputShapes, values: Sequence[Shape | None]) -> Shape | None:
        """Returns the shape of the output.

        Args:
            inputs: shapes of the inputs of the network.
            values: shapes of the values that the node takes; none if it takes the inputs of the network.

        Raises:
            ShapeError: the cell cannot take such values.
        """
        ...

    def size(self, inputs: InputShapes, values: Sequence[Shape | None]) -> NetworkSize:
        """Returns the size of the cell; what only running it shows counts as nothing."""
        ...


@dataclass(frozen=True, kw_only=True)
class BranchNode:
    """A cell of a graph, and the values that it takes.

    Attributes:
        name: name of its value, and beginning of the names of its parameters.
        cell: the computation.
        takes: names of the nodes before it whose values it takes; none for the inputs of the network.
        module: name of the parameters where several nodes run pieces of one network; None for `name`.
    """

    name: str
    cell: Cell
    takes: tuple[str, ...] = ()
    module: str | None = None

    @property
    def owner(self) -> str:
        """Returns the beginning of the names of its parameters."""
        return self.module or self.name


@dataclass(frozen=True, kw_only=True)
class BranchGraph:
    """The nodes between inputs and codes.

    Attributes:
        nodes: nodes, each after those whose values it takes.
        codes: name of the node of each head's code, in the order of the heads.
    """

    nodes: tuple[BranchNode, ...]
    codes: tuple[str, ...]

    def shapes(self, inputs: InputShapes) -> dict[str, Shape | None]:
        """Returns the shape of each node's value, by its name.

        Raises:
            ShapeError: a cell cannot take what it gets.
        """
        found: dict[str, Shape | None] = {}
        for node in self.nodes:
            found[node.name] = node.cell.output_shape(inputs, [found[each] for each in node.takes])
        return found

    def code_shape(self, inputs: InputShapes) -> Shape | None:
        """Returns the shape of a code, which is the same for all heads.

        Raises:
            ShapeError: a cell cannot take what it gets.
        """
        return self.shapes(inputs)[self.codes[0]]

    def size(self, inputs: InputShapes) -> NetworkSize:
        """Returns the size of all cells.

        Raises:
            ShapeError: a cell cannot take what it gets.
        """
        shapes = self.shapes(inputs)
        sizes = [node.cell.size(inputs, [shapes[each] for each in node.takes]) for node in self.nodes]
        return NetworkSize(0, 0).plus(*sizes)


def named_shapes(inputs: InputShapes, values: Sequence[Shape | None]) -> dict[str, Shape] | None:
    """Returns the shapes of the inputs of a cell by name; None if the shape of its value is not known."""
    if not values:
        return dict(inputs)
    return None if values[0] is None else {INPUT: values[0]}


def one_shape(values: Sequence[Shape | None], what: str) -> Shape | None:
    """Returns the shape that values have alike; None if it is not known.

    Raises:
        ShapeError: known shapes differ.
    """
    known = list(dict.fromkeys(each for each in values if each is not None))
    if len(known) > 1:
        raise ShapeError(f"{what} have outputs of shapes {' and '.join(map(str, known))}; give them the same")
    return known[0] if known else None
