"""Dense network layers in the graph of a forward pass: what makes their gradients; see `dense_products`."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hpcmtl.training.dense_products import pays
from hpcmtl.training.torch.compat import import_torch

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

torch = import_torch()

_PARAMETER, _TRANSPOSED = "AccumulateGrad", "TBackward0"
_WITH_OFFSET, _WITHOUT_OFFSET = "AddmmBackward0", "MmBackward0"


@dataclass(frozen=True, eq=False, kw_only=True)
class DenseUse:
    """A dense layer of a forward pass, which is the only use of its weight there.

    Attributes:
        weight: name of its weight, (outputs, values).
        offset: name of its offset, (outputs,); None where there is none, or where it is not to be computed here.
        inputs: its inputs, (n, values).
        edge: place of its outputs in the graph.
    """

    weight: str
    offset: str | None
    inputs: Any
    edge: Any


def dense_layers(outputs: Iterable[Any], names: Mapping[Any, str]) -> list[DenseUse]:
    """Returns the dense layers that pay in the graph of a forward pass.

    The graph tells what the code of a module does not: whether a weight has another use, or a tied one.

    Args:
        outputs: tensors at the end of the graph.
        names: names of the parameters whose gradients are asked for.
    """
    users, found = _users(outputs), list[DenseUse]()
    for node in users:
        kind = type(node).__name__
        if kind == _WITH_OFFSET and node._saved_alpha == node._saved_beta == 1:  # noqa: SLF001 - autograd's names
            (offset, _), _, (weight, _) = node.next_functions
            inputs = node._saved_mat1  # noqa: SLF001 - as above
        elif kind == _WITHOUT_OFFSET:
            offset, (weight, _) = None, node.next_functions[1]
            inputs = node._saved_self  # noqa: SLF001 - as above
        else:
            continue
        leaf: Any = weight.next_functions[0][0] if _is_only(weight, _TRANSPOSED, users) else None
        name = _name(leaf, names, users)
        if name is not None and _is_taken(inputs) and pays(tuple(leaf.variable.shape), len(inputs)):
            edge = torch.autograd.graph.GradientEdge(node, 0)
            added = _name(offset, names, users, axes=1)
            found.append(DenseUse(weight=name, offset=added, inputs=inputs.detach(), edge=edge))
    return found


def _is_taken(inputs: Any) -> bool:
    """Returns whether the inputs that a node has kept are there, and float32."""
    return inputs is not None and inputs.dtype == torch.float32


def _users(outputs: Iterable[Any]) -> Counter[Any]:
    """Returns all nodes of a graph, with the number of edges that lead to each of them."""
    found, open_ones = Counter[Any](), [output.grad_fn for output in outputs if output.grad_fn is not None]
    seen = set(open_ones)
    found.update(dict.fromkeys(open_ones, 0))
    while open_ones:
        for node, _ in open_ones.pop().next_functions:
            if node is not None:
                found[node] += 1
                if node not in seen:
                    seen.add(node)
                    open_ones.append(node)
    return found


def _is_only(node: Any, kind: str, users: Counter[Any]) -> bool:
    """Returns whether a node is of a kind, and one edge alone leads to it."""
    return type(node).__name__ == kind and users[node] == 1


def _name(node: Any, names: Mapping[Any, str], users: Counter[Any], axes: int = 2) -> str | None:
    """Returns the name of a parameter by its node in the graph; None if it has another use, or is not asked for."""
    if not _is_only(node, _PARAMETER, users):
        return None
    own = node.variable.ndim == axes and not node.variable._backward_hooks  # noqa: SLF001 - set by `register_hook`
    return names.get(node.variable) if own else None
