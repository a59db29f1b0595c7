"""A network in two parts, trunk and heads, that gives what the gradients of objectives are made of.

MXNet gives gradients by arrays that go into a graph. So each head gets an array of its own with the trunk's output: one
backward pass through all heads finds the gradients of all objectives by it. And each output of a dense layer of the
trunk gets an array of zeros added, its *tap*, whose gradient is that of the output. The weights of these layers go into
the graph as arrays without gradients, and their inputs are further outputs of the trunk.
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hpcmtl.training.gluon.compat import import_mxnet
from hpcmtl.training.gluon.cut_graph import VARIABLE, Graph, cut_of, subgraph
from hpcmtl.training.gluon.random_numbers import traced_as_in_training
from hpcmtl.training.gluon.zoo import outputs_of
from hpcmtl.training.network_inputs import input_type

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from hpcmtl.networks.input_values import InputValues

mx = import_mxnet()

_DENSE = "FullyConnected"


@dataclass(frozen=True, kw_only=True)
class DenseNode:
    """A dense layer of a graph, which is the only use of its weight there.

    Attributes:
        weight: MXNet's name of its weight.
        offset: MXNet's name of its offset; None where there is none, or where something else uses it.
        data: number of the node of its inputs, and of the output of this node.
        node: number of its own node.
    """

    weight: str
    offset: str | None
    data: tuple[int, int]
    node: int


def dense_nodes(graph: Graph, names: Collection[str]) -> list[DenseNode]:
    """Returns the dense layers of a graph.

    Args:
        graph: the graph, as MXNet writes it.
        names: MXNet's names of the weights and offsets that are looked for.
    """
    nodes = graph["nodes"]
    users = Counter(source[0] for node in nodes for source in node["inputs"])
    found = []
    for number, node in enumerate(nodes):
        attributes = node.get("attrs", {})
        if node["op"] != _DENSE or attributes.get("flatten", "True") not in {"True", "1"}:
            continue
        data, *read = node["inputs"]
        own = {nodes[each[0]]["name"] for each in read if nodes[each[0]]["op"] == VARIABLE and users[each[0]] == 1}
        weight, *offset = (nodes[each[0]]["name"] for each in read)
        if weight in own.intersection(names):
            kept = offset[0] if offset and offset[0] in own.intersection(names) else None
            found.append(DenseNode(weight=weight, offset=kept, data=(data[0], data[1]), node=number))
    return found


class TappedNetwork:
    """A network of a trunk with taps and heads; it has the parameters of another one.

    Attributes:
        count: number of heads.
        dense: the dense layers with taps.
        taps: of the newest pass, an NDArray of zeros (n, outputs) for each, with its gradient.
        inputs: of the newest pass, an NDArray of inputs (n, ...) for each.
        code: of the newest pass, the output of the trunk.
        slopes: for each head the NDArray that a backward pass fills with the gradient by this output.
    """

    def __init__(self, trunk: Any, heads: Any, dense: Sequence[DenseNode], weights: Sequence[Any], count: int) -> None:
        """Takes both parts, the dense layers of the trunk and their weights, and the number of heads."""
        self.dense = tuple(dense)
        self._trunk, self._heads, self._weights, self.count = trunk, heads, weights, count
        self.taps: list[Any] = []
        self.inputs: list[Any] = []
        self.code: Any = None
        self.slopes: list[Any] = []

    def __call__(self, *samples: Any) -> list[Any]:
        """Runs a training pass that is recorded, and returns the outputs of all heads."""
        rows = len(samples[0])
        if len(self.taps) != len(self.dense) or any(len(tap) != rows for tap in self.taps):
            self.taps = [mx.nd.zeros((rows, len(weight))) for weight in self._weights]
            for tap in self.taps:
                tap.attach_grad()
        self.code, *self.inputs = outputs_of(self._trunk, [*samples, *self.taps, *self._weights])
        if not self.slopes or self.slopes[0].shape != self.code.shape:
            self.slopes = [mx.nd.zeros(self.code.shape) for _ in range(self.count)]
        codes = [self.code.detach() for _ in range(self.count)]
        mx.autograd.mark_variables(codes, self.slopes)
        return outputs_of(self._heads, codes)


def tapped_network(block: Any, values: Mapping[str, InputValues], names: Collection[str]) -> TappedNetwork | None:
    """Returns a network in two parts; None where several arrays lead from what objectives share to the rest.

    Args:
        block: hybridizable network.
        values: values that it takes, by the names of its inputs in order.
        names: MXNet's names of the weights and offsets whose layers get taps.
    """
    samples = [mx.sym.var(f"data{n}", dtype=input_type(each).name) for n, each in enumerate(values.values())]
    with traced_as_in_training():
        graph: Graph = json.loads(mx.sym.Group(outputs_of(block, samples)).tojson())
    cut = cut_of(graph)
    if cut is None:
        return None
    dense = dense_nodes(cut.trunk, names)
    parameters, count = block.collect_params(), len(graph["heads"])
    taps = [_variable(_tap(number)) for number in range(len(dense))]
    weights = [_variable(each.weight) for each in dense]
    trunk = _block(_with_taps(cut.trunk, dense), [*samples, *taps, *weights], parameters)
    heads = _block(cut.heads, list(map(_variable, cut.codes)), parameters)
    return TappedNetwork(trunk, heads, dense, [parameters[each.weight].data().detach() for each in dense], count)


def _block(graph: Graph, inputs: Sequence[Any], parameters: Any) -> Any:
    made = mx.gluon.SymbolBlock(mx.sym.load_json(json.dumps(graph)), list(inputs), params=parameters)
    made.hybridize(static_alloc=True)
    return made


def _variable(name: str) -> Any:
    return mx.sym.var(name, dtype="float32")  # without a type MXNet warns


def _tap(number: int) -> str:
    return f"hpcmtl_tap{number}"


def _with_taps(graph: Graph, dense: Sequence[DenseNode]) -> Graph:
    """Returns a graph with taps, whose further outputs are the inputs of the dense layers."""
    places, nodes = dict[int, int](), list[dict[str, Any]]()  # number of a node -> that of its values in the new graph
    numbers = {each.node: number for number, each in enumerate(dense)}
    for old, node in enumerate(graph["nodes"]):
        nodes.append({**node, "inputs": [[places[source[0]], *source[1:]] for source in node["inputs"]]})
        places[old] = len(nodes) - 1
        if old in numbers:
            tap = _tap(numbers[old])
            nodes.append({"op": VARIABLE, "name": tap, "inputs": []})
            read = [[len(nodes) - 2, 0, 0], [len(nodes) - 1, 0, 0]]
            nodes.append({"op": "elemwise_add", "name": f"{tap}_sum", "inputs": read})
            places[old] = len(nodes) - 1
    (head,) = graph["heads"]
    nodes.append({"op": "_copy", "name": "hpcmtl_code", "inputs": [[places[head[0]], *head[1:]]]})
    heads = [[len(nodes) - 1, 0, 0]]
    for number, each in enumerate(dense):
        read = [[places[each.data[0]], each.data[1], 0]]
        nodes.append({"op": "BlockGrad", "name": f"{_tap(number)}_data", "inputs": read})
        heads.append([len(nodes) - 1, 0, 0])
    return subgraph({**graph, "nodes": nodes, "heads": heads}, range(len(nodes)))
