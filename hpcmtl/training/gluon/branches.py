"""A Gluon block that runs the graph of an architecture: inputs to a code for each head."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from hpcmtl.networks.architectures.cells import LayersCell, NetworkCell
from hpcmtl.networks.branch_graph import named_shapes
from hpcmtl.training.gluon.branch_cells import make_cell
from hpcmtl.training.gluon.compat import import_mxnet
from hpcmtl.training.gluon.input_order import EnclosingBlock, input_order

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from hpcmtl.networks.branch_graph import BranchGraph, BranchNode
    from hpcmtl.networks.description import NetworkDescription
    from hpcmtl.networks.shapes import InputShapes, Shape

    _MakeNetwork = Callable[[NetworkDescription, InputShapes], tuple[Any, Shape]]

mx = import_mxnet()
nn = mx.gluon.nn


class _Step(NamedTuple):
    """One computation.

    Attributes:
        name: name of its value.
        run: a block, or a function of values.
        takes: names of the values that it takes; none for the inputs of the network.
        order: places of the inputs of the network that it takes, in its order.
    """

    name: str
    run: Any
    takes: tuple[str, ...]
    order: tuple[int, ...]


class BranchedBlock(EnclosingBlock):
    """Runs the nodes of a graph in order; returns a list of codes, one a head.

    Attributes:
        code_shape: shape of one sample of a code.
    """

    def __init__(self, graph: BranchGraph, samples: InputShapes, make: _MakeNetwork) -> None:
        """Builds the blocks of the nodes.

        Args:
            graph: the graph.
            samples: shapes of the inputs.
            make: function that makes the block of a network, and returns the shape of its output.
        """
        super().__init__()
        self._steps: list[_Step] = []
        self._codes = graph.codes
        owners: dict[str, Any] = {}
        shapes: dict[str, Shape] = {}
        names: tuple[str, ...] = ()
        for node in graph.nodes:
            values = [shapes[each] for each in node.takes]
            cell = node.cell
            order = tuple(range(len(samples)))
            if isinstance(cell, LayersCell):
                if node.owner not in owners:
                    owners[node.owner] = self._registered(node, make(cell.network, samples)[0])
                step, made = partial(_through, _layers(owners[node.owner])[cell.start : cell.stop]), cell.made
            elif isinstance(cell, NetworkCell):
                step, made = make(cell.network, named_shapes(samples, values) or {})
                owners[node.owner] = self._registered(node, step)
                names = names or input_order(step, samples)
            else:
                step = self._registered(node, make_cell(cell, samples, values))
                found = cell.output_shape(samples, values)
                assert found is not None
                made = found
                order = tuple(names.index(each) for each in sorted(samples)) if names else order
            shapes[node.name] = made
            self._steps.append(_Step(node.name, step, node.takes, order))
        self._first = next(iter(owners))
        self.code_shape = shapes[graph.codes[0]]

    @property
    def first(self) -> Any:
        """See `EnclosingBlock`."""
        found = self
        for each in self._first.split("."):
            found = found._children[each]
        return found

    def hybrid_forward(self, F: Any, *inputs: Any) -> Any:  # noqa: N803, ARG002 - Gluon's form
        """Returns the codes of all heads."""
        values: dict[str, Any] = {}
        for name, step, takes, order in self._steps:
            given = [values[each] for each in takes] if takes else [inputs[each] for each in order]
            values[name] = step(*given)
        return [values[name] for name in self._codes]

    def _registered(self, node: BranchNode, block: Any) -> Any:
        """Returns a block after it has become a child, under the name of its node."""
        *above, name = node.owner.split(".")
        parent: Any = self
        for each in above:
            if each not in parent._children:  # noqa: SLF001 - Gluon has no public access by name
                parent.register_child(nn.HybridSequential(), each)
            parent = parent._children[each]  # noqa: SLF001 - as above
        parent.register_child(block, name)
        return block


def _through(layers: Sequence[Any], value: Any) -> Any:
    for layer in layers:
        value = layer(value)
    return value


def _layers(block: Any) -> list[Any]:
    """Returns the layers of a model of the zoo, or of its part without the output."""
    if isinstance(block, nn.HybridSequential):
        return list(block._children.values())  # noqa: SLF001 - as above
    return [*block.body._children.values(), block.output]  # noqa: SLF001 - as above
