"""A PyTorch module that runs the graph of an architecture: inputs to a code for each head."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from hpcmtl.networks.architectures.cells import LayersCell, NetworkCell
from hpcmtl.networks.branch_graph import named_shapes
from hpcmtl.networks.input_values import INPUT
from hpcmtl.training.torch.branch_cells import make_cell
from hpcmtl.training.torch.compat import import_torch
from hpcmtl.training.torch.samples import EnclosingModule, run_unchanged

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from hpcmtl.networks.branch_graph import BranchGraph, BranchNode
    from hpcmtl.networks.description import NetworkDescription
    from hpcmtl.networks.shapes import InputShapes, Shape

    _MakeNetwork = Callable[[NetworkDescription, InputShapes], tuple[Any, Shape]]

torch = import_torch()
nn = torch.nn
_Module: Any = nn.Module


class _Step(NamedTuple):
    """One computation.

    Attributes:
        name: name of its value.
        run: a module, or a function of values.
        takes: names of the values that it takes; none for the inputs of the network.
        by_name: whether it takes inputs by name.
    """

    name: str
    run: Any
    takes: tuple[str, ...]
    by_name: bool


class BranchedModule(EnclosingModule):
    """Runs the nodes of a graph in order; returns a list of codes, one a head.

    Attributes:
        code_shape: shape of one sample of a code.
    """

    def __init__(self, graph: BranchGraph, samples: InputShapes, make: _MakeNetwork) -> None:
        """Builds the modules of the nodes.

        Args:
            graph: the graph.
            samples: shapes of the inputs.
            make: function that makes the module of a network, and returns the shape of its output.
        """
        super().__init__()
        self._steps: list[_Step] = []
        self._codes = graph.codes
        owners: dict[str, Any] = {}
        shapes: dict[str, Shape] = {}
        for node in graph.nodes:
            values = [shapes[each] for each in node.takes]
            cell = node.cell
            if isinstance(cell, LayersCell):
                if node.owner not in owners:
                    owners[node.owner] = self._registered(node, make(cell.network, samples)[0])
                step, made = partial(_through, _layers(owners[node.owner])[cell.start : cell.stop]), cell.made
            elif isinstance(cell, NetworkCell):
                step, made = make(cell.network, named_shapes(samples, values) or {})
                owners[node.owner] = self._registered(node, step)
            else:
                step = self._registered(node, make_cell(cell, samples, values))
                found = cell.output_shape(samples, values)
                assert found is not None
                made = found
            shapes[node.name] = made
            self._steps.append(_Step(node.name, step, node.takes, cell.takes_inputs))
        self._first = next(iter(owners))
        self.code_shape = shapes[graph.codes[0]]

    @property
    def first(self) -> Any:
        """See `EnclosingModule`."""
        found: Any = self
        for each in self._first.split("."):  # `get_submodule` refuses names such as `train`
            found = found._modules[each]  # noqa: SLF001 - as below
        return found

    def forward(self, *only: Any, **inputs: Any) -> list[Any]:
        """Returns the codes of all heads.

        Raises:
            InputError: an expert writes over its input.
        """
        named = {INPUT: only[0]} if only else inputs
        values: dict[str, Any] = {}
        for name, step, takes, by_name in self._steps:
            if by_name:
                values[name] = run_unchanged(step, {INPUT: values[takes[0]]} if takes else named)
            else:
                values[name] = step(*[values[each] for each in takes] if takes else named.values())
        return [values[name] for name in self._codes]

    def _registered(self, node: BranchNode, module: Any) -> Any:
        """Returns a module after it has become a child, under the name of its node."""
        *above, name = node.owner.split(".")
        parent: Any = self
        for each in above:
            parent._modules.setdefault(each, nn.Module())  # noqa: SLF001 - `add_module` refuses names such as `train`
            parent = parent._modules[each]  # noqa: SLF001 - as above
        parent._modules[name] = module  # noqa: SLF001 - as above
        return module


def _through(layers: Sequence[Any], value: Any) -> Any:
    for layer in layers:
        value = layer(value)
    return value


def _layers(module: Any) -> list[Any]:
    """Returns the layers of a model of the zoo, or of its part without the output."""
    return list(module) if isinstance(module, nn.Sequential) else [*module.body, module.output]
