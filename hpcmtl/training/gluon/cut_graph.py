"""The graph of a network, cut where what several outputs depend on ends: a trunk, and a head for each output."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

Graph = dict[str, Any]
"""A graph as MXNet writes it: ``nodes`` with their ``inputs``, and ``heads``, its outputs."""
VARIABLE = "null"
"""Operator of the nodes that are inputs and parameters."""
_Place = tuple[int, int]  # number of a node, and of its output


@dataclass(frozen=True, kw_only=True)
class CutGraph:
    """A graph in two parts.

    Attributes:
        trunk: graph whose only output goes to all heads.
        heads: graph of all heads, with the outputs of the whole.
        codes: names of the inputs of the heads, one for each.
    """

    trunk: Graph
    heads: Graph
    codes: tuple[str, ...]


def cut_of(graph: Graph) -> CutGraph | None:
    """Returns the parts of a graph; None where there are no heads that depend on one output of a trunk alone."""
    nodes = graph["nodes"]
    if len(graph["heads"]) < 2 or any("subgraphs" in node for node in nodes):
        return None
    reached = [_ancestors(nodes, head[0]) for head in graph["heads"]]
    counts = Counter(number for each in reached for number in each)
    shared = {number for number, count in counts.items() if count > 1}
    trunk = {number for number in shared if nodes[number]["op"] != VARIABLE}
    if any(head[0] in shared for head in graph["heads"]):  # MXNet has no gradient of an output that is an input
        return None
    ends = set[_Place]()
    for number in counts.keys() - trunk:
        ends |= {(source[0], source[1]) for source in nodes[number]["inputs"] if source[0] in shared}
    if len(ends) != 1 or next(iter(ends))[0] not in trunk:
        return None
    (end,) = ends
    read = {source[0] for number in trunk for source in nodes[number]["inputs"]}
    codes = tuple(f"hpcmtl_code{number}" for number in range(len(reached)))
    return CutGraph(
        trunk=subgraph({**graph, "heads": [[*end, 0]]}, sorted(trunk | read)),
        heads=_heads(graph, [each - trunk - read for each in reached], end, codes),
        codes=codes,
    )


def subgraph(graph: Graph, kept: Iterable[int]) -> Graph:
    """Returns the graph of some nodes, and of all that they read."""
    numbers = list(kept)
    places = {old: new for new, old in enumerate(numbers)}
    nodes = [_moved(graph["nodes"][old], places) for old in numbers]
    heads = [[places[head[0]], *head[1:]] for head in graph["heads"]]
    return _graph(nodes, heads, graph)


def _heads(graph: Graph, own: Iterable[set[int]], end: _Place, codes: tuple[str, ...]) -> Graph:
    """Returns the graph of the heads, each of which reads a variable of its own in the place of the trunk's output."""
    nodes, heads = list[dict[str, Any]](), []
    for numbers, code, head in zip(own, codes, graph["heads"], strict=True):
        nodes.append({"op": VARIABLE, "name": code, "inputs": []})
        places = {end[0]: len(nodes) - 1}
        for old in sorted(numbers):
            nodes.append(_moved(graph["nodes"][old], places))
            places[old] = len(nodes) - 1
        heads.append([places[head[0]], head[1] if head[0] != end[0] else 0, 0])
    return _graph(nodes, heads, graph)


def _moved(node: Mapping[str, Any], places: Mapping[int, int]) -> dict[str, Any]:
    return {**node, "inputs": [[places[source[0]], *source[1:]] for source in node["inputs"]]}


def _graph(nodes: list[dict[str, Any]], heads: list[list[int]], like: Graph) -> Graph:
    variables = [number for number, node in enumerate(nodes) if node["op"] == VARIABLE]
    return {"nodes": nodes, "arg_nodes": variables, "heads": heads, "attrs": like.get("attrs", {})}


def _ancestors(nodes: list[dict[str, Any]], last: int) -> set[int]:
    found, open_ones = {last}, [last]
    while open_ones:
        for source in nodes[open_ones.pop()]["inputs"]:
            if source[0] not in found:
                found.add(source[0])
                open_ones.append(source[0])
    return found
