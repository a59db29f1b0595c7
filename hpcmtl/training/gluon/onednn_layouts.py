"""Finds operators whose outputs oneDNN leaves in a layout of its own, and those that misread such an array.

Two kinds of operator of MXNet 1.9.1 make such layouts: convolutions, and concatenations of an input of size 1 along
the joined axis. There the plain layout and another one are the same for the inputs, and oneDNN takes the other one if
there are more inputs than rows (tried: 2 to 4 axes, joined along each of them, 1 to 9 rows, 2 to 8 inputs).
"""

from __future__ import annotations

import inspect
import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hpcmtl.networks.shapes import InputShapes

_ROWS = 2
_JOINS, _CONVOLUTIONS = "Concat", frozenset({"Convolution", "Deconvolution"})
# Operators of oneDNN that pass a layout on. All others get plain arrays, and give plain ones.
_PASSES = frozenset(
    {"Activation", "LeakyReLU", "Pooling", "BatchNorm", "LRN", "elemwise_add", "add_n", "_copy", _JOINS}
)
_MISREAD = frozenset({"softmax", "log_softmax", "softmin"})
_JOINING_BLOCKS = frozenset({"Concurrent", "HybridConcurrent"})


def joins_columns(graph: Any, samples: InputShapes | None) -> bool:
    """Returns whether a graph joins an array of size 1 along the joined axis, or may do so.

    Args:
        graph: symbol of a network with the inputs ``data0``, ``data1``, ...
        samples: shape of a sample of each input, in this order; None if they are not known.
    """
    return any(
        node["op"] == _JOINS and (inside or _joins_column(graph, node, samples))
        for node, inside in _nodes(json.loads(graph.tojson()))
    )


def softmax_of_layout(graph: Any) -> bool:
    """Returns whether a graph takes a softmax, not over the channels, of an array in a layout of oneDNN."""
    nodes = json.loads(graph.tojson())["nodes"]
    arranged: list[bool] = []
    for node in nodes:
        inputs = any(arranged[source[0]] for source in node["inputs"])
        if node["op"] in _MISREAD and inputs and int(node.get("attrs", {}).get("axis", -1)) != 1:
            return True
        arranged.append(node["op"] in _CONVOLUTIONS or (node["op"] in _PASSES and inputs))
    return False


def may_join(block: Any) -> bool:
    """Returns whether the code of a block that cannot be traced, or of a block inside it, joins arrays."""
    kind = type(block)
    if kind.__name__ in _JOINING_BLOCKS:
        return True
    if not kind.__module__.startswith("mxnet."):
        try:
            source = inspect.getsource(kind)
        except (OSError, TypeError):
            return True
        if "concat" in source.lower():
            return True
    return any(map(may_join, block._children.values()))  # noqa: SLF001 - has no other name


def _joins_column(graph: Any, node: dict[str, Any], samples: InputShapes | None) -> bool:
    axis = int(node.get("attrs", {}).get("dim", 1))
    inputs = graph.get_internals()[f"{node['name']}_output"].get_children()
    known = {f"data{number}": (_ROWS, *shape) for number, shape in enumerate((samples or {}).values())}
    _, shapes, _ = inputs.infer_shape_partial(**known)
    # Unknown sizes are 0, and a shape of which nothing is known is empty.
    return shapes is None or any(
        not shape or not -len(shape) <= axis < len(shape) or shape[axis] <= 1 for shape in shapes
    )


def _nodes(graph: dict[str, Any], *, inside: bool = False) -> Iterator[tuple[dict[str, Any], bool]]:
    """Yields each node of a graph, and those of its subgraphs (loops, conditions) with True."""
    for node in graph["nodes"]:
        yield node, inside
        for inner in node.get("subgraphs", ()):
            yield from _nodes(inner, inside=True)
