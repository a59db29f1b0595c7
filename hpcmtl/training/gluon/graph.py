"""Facts of the traced graph of a Gluon block: random numbers, batch normalisations, operators that MXNet breaks."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hpcmtl.training.gluon.compat import import_mxnet
from hpcmtl.training.gluon.random_numbers import traced_as_in_training
from hpcmtl.training.gluon.samples import symbols
from hpcmtl.training.gluon.zoo import outputs_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

mx = import_mxnet()

# Operators that draw in a training pass, by their registered names; `Custom` runs Python code, which may draw.
_DRAWS = re.compile(
    r"[dD]ropout|random_(?!pdf)|sample_|shuffle|neighbor|^Custom$|"
    r"^_npi_(bernoulli|choice|exponential|gamma|gumbel|logistic|multinomial|normal|pareto|powerd|rayleigh|uniform|weibull)"
)
_NORMALISES = frozenset({"BatchNorm", "_contrib_SyncBatchNorm", "_npx_batch_norm"})
_STOPS = "BlockGrad"
_SLOPES = 1  # input of a `LeakyReLU` that holds them
_FACTOR, _MEAN, _VARIANCE = 1, 3, 4  # inputs of a batch normalisation; an offset is between the first two


@dataclass(frozen=True)
class BatchNormNode:
    """Represents a batch normalisation in a graph.

    Attributes:
        mean: MXNet's name of its running mean.
        variance: MXNet's name of its running variance.
        momentum: factor of the old statistics in each update.
    """

    mean: str
    variance: str
    momentum: float


@dataclass(frozen=True)
class GraphFacts:
    """Facts on the graph of a network in training.

    Attributes:
        draws: whether a training pass draws random numbers, also by Python code of the network; true if the network
            cannot be traced.
        normalisations: batch normalisations that update their statistics.
        fixed: MXNet's names of running statistics that no node updates, such as those of a batch normalisation that
            uses them in training as well.
        affine: MXNet's names of factors and offsets of batch normalisations, which no pass changes; with `scale=False`
            and `center=False` Gluon marks them as it marks statistics.
        slopes: MXNet's names of slopes of `PReLU`, whose gradient MXNet 1.9.1 gets wrong in a compiled network.
    """

    draws: bool
    normalisations: tuple[BatchNormNode, ...] = ()
    fixed: frozenset[str] = frozenset()
    affine: frozenset[str] = frozenset()
    slopes: frozenset[str] = frozenset()


def graph_facts(block: Any, inputs: int) -> GraphFacts:
    """Traces a block of a number of inputs with symbols, as in training, and returns the facts on its graph."""
    try:
        with traced_as_in_training() as python_drew:
            symbol = traced(block, inputs)
    except (Exception, SystemExit):  # noqa: BLE001 - code of users, which may need values where symbols have none
        return GraphFacts(draws=True, slopes=frozenset(_slopes_of(block)))
    draws, slopes, normalisations = bool(python_drew), set[str](), list[BatchNormNode]()
    fixed, affine = set[str](), set[str]()
    for node, read in _nodes(json.loads(symbol.tojson())):
        attributes = node.get("attrs", {})
        draws = draws or _draws(node["op"], attributes)
        if attributes.get("act_type") == "prelu":
            slopes.add(read[_SLOPES])
        if node["op"] not in _NORMALISES:
            continue
        affine |= set(read[_FACTOR:_MEAN])
        if attributes.get("use_global_stats", "False") in {"True", "1"}:
            fixed |= {read[_MEAN], read[_VARIANCE]}
        else:
            momentum = float(attributes.get("momentum", 0.9))
            normalisations.append(BatchNormNode(read[_MEAN], read[_VARIANCE], momentum))
    updated = {name for node in normalisations for name in (node.mean, node.variance)}
    return GraphFacts(
        draws, tuple(normalisations), frozenset(fixed - updated), affine=frozenset(affine), slopes=frozenset(slopes)
    )


def loss_draws(loss: Any) -> bool:
    """Returns whether a loss draws random numbers; true if it cannot be traced."""
    try:
        with traced_as_in_training() as python_drew:
            graph = traced(loss, 2)
    except (Exception, SystemExit):  # noqa: BLE001 - as above
        return True
    return bool(python_drew) or any(
        _draws(node["op"], node.get("attrs", {})) for node, _ in _nodes(json.loads(graph.tojson()))
    )


def traced(block: Any, inputs: int) -> Any:
    """Returns the symbol of all outputs of a block with a number of inputs; what the block raises passes through."""
    return mx.sym.Group(outputs_of(block, symbols(inputs)))


def arguments_with_gradient(output: Any) -> frozenset[str]:
    """Returns MXNet's names of the arguments that a symbol has a gradient by: none behind a `BlockGrad` alone."""
    graph = json.loads(output.tojson())
    nodes, found, seen = graph["nodes"], set[str](), set[int]()
    open_ones = [head[0] for head in graph["heads"]]
    while open_ones:
        place = open_ones.pop()
        node = nodes[place]
        if place in seen or node["op"] == _STOPS:
            continue
        seen.add(place)
        if node["op"] == "null":
            found.add(node["name"])
        open_ones += [source[0] for source in node["inputs"]]
    return frozenset(found)


def _slopes_of(block: Any) -> Iterator[str]:
    if isinstance(block, mx.gluon.nn.PReLU):
        yield block.alpha.name
    for child in block._children.values():  # noqa: SLF001 - has no other name
        yield from _slopes_of(child)


def _draws(operator: str, attributes: Mapping[str, str]) -> bool:
    if operator == "RNN":
        return float(attributes.get("p", 0)) > 0
    return bool(_DRAWS.search(operator)) or attributes.get("act_type") == "rrelu"


def _nodes(graph: dict[str, Any]) -> Iterator[tuple[dict[str, Any], list[str]]]:
    """Yields each node of a graph and of its subgraphs (loops, conditions), with the names of its inputs."""
    for node in graph["nodes"]:
        yield node, [graph["nodes"][source[0]]["name"] for source in node["inputs"]]
        for inner in node.get("subgraphs", ()):
            yield from _nodes(inner)
