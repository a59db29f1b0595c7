"""Batch normalisation by the statistics of the whole batch of a group, forward and backward.

Sums over the group take the place of sums over the rows, as with PyTorch: number of values and their sum, then the
squares of the centred values, and the gradients of both. All but these sums (`group_sum`) are operators of MXNet.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from hpcmtl.errors import InputError, Problem
from hpcmtl.training.gluon.compat import import_mxnet
from hpcmtl.training.gluon.graph import traced
from hpcmtl.training.gluon.group_sum import OPERATOR, GluonGroupSum
from hpcmtl.training.gluon.random_numbers import traced_as_in_training
from hpcmtl.training.gluon.zoo import HybridBlock

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

mx = import_mxnet()
nn = mx.gluon.nn
_BatchNorm: Any = nn.BatchNorm

_NORMALISES = frozenset({"BatchNorm", "_contrib_SyncBatchNorm", "_npx_batch_norm", "_contrib_BatchNormWithReLU"})
"""Operators that take statistics of a rank's own rows."""


class GluonGroupBatchNorm(_BatchNorm):
    """A batch normalisation over a group in `GluonGroupSum.in_pass`; at all other times it is MXNet's own."""

    group: GluonGroupSum
    layer: int

    def hybrid_forward(self, F: Any, x: Any, gamma: Any, beta: Any, running_mean: Any, running_var: Any) -> Any:  # noqa: N803, PLR0917 - Gluon's form
        """Normalises, along one axis, by all rows of the group."""
        if not self.group.active:
            return super().hybrid_forward(F, x, gamma, beta, running_mean, running_var)
        axis, eps, fixed = (self._kwargs[name] for name in ("axis", "eps", "fix_gamma"))
        x = x if axis == 1 else F.SwapAxis(x, dim1=1, dim2=axis)
        channels = _Channels(F, x)
        values = F.cast(F.size_array(x), "float32") / F.cast(F.size_array(gamma), "float32")
        sums = self.group.of(F, F.concat(values, channels.sums(channels.rows), dim=0), gamma, self.layer)
        count, total = F.slice_axis(sums, axis=0, begin=0, end=1), F.slice_axis(sums, axis=0, begin=1, end=None)
        centred = channels.rows - channels.spread(F.broadcast_div(total, count))
        squares = self.group.of(F, channels.sums(F.square(centred)), gamma, self.layer)
        factor = F.rsqrt(F.broadcast_div(squares, count) + eps)
        made = centred * channels.spread(factor if fixed else factor * gamma) + channels.spread(beta)
        made = F.reshape_like(made, x)
        return made if axis == 1 else F.SwapAxis(made, dim1=1, dim2=axis)


class _Channels:
    """Sums of an array along all axes but the second, and the reverse: numbers that are spread along these axes.

    By matrix products: sums of MXNet 1.9.1, and gradients of its operators that broadcast, take 10 times as long.

    Attributes:
        rows: the array with its further axes made one, (n, channels, values).
    """

    def __init__(self, F: Any, x: Any) -> None:  # noqa: N803 - Gluon's form
        self._functions, self.rows = F, F.reshape(x, shape=(0, 0, -1))
        self._first = F.BlockGrad(F.slice_axis(self.rows, axis=0, begin=0, end=1))
        values = F.slice_axis(self._first, axis=1, begin=0, end=1)
        of_samples = F.BlockGrad(F.slice(self.rows, begin=(0, 0, 0), end=(None, 1, 1)))
        self._values = F.reshape(F.ones_like(values), shape=(1, -1))
        self._samples = F.reshape(F.ones_like(of_samples), shape=(1, -1))

    def sums(self, rows: Any) -> Any:
        """Returns the sum of each channel, (channels,)."""
        F = self._functions  # noqa: N806 - Gluon's form
        of_samples = F.reshape_like(F.dot(self._samples, F.reshape(rows, shape=(0, -1))), self._first)
        return F.reshape(F.dot(of_samples, self._values, transpose_b=True), shape=(-1,))

    def spread(self, vector: Any) -> Any:
        """Returns the numbers of the channels for all values, (n, channels, values)."""
        F = self._functions  # noqa: N806 - Gluon's form
        one = F.reshape(F.dot(F.reshape(vector, shape=(-1, 1)), self._values), shape=(1, -1))
        return F.reshape_like(F.dot(self._samples, one, transpose_a=True), self.rows)


class GroupTraining(HybridBlock):
    """A network whose batch normalisations use the group in training; in inference it is the network itself.

    It is another graph than that of the network, with the same parameters.
    """

    def __init__(self, network: Any, group: GluonGroupSum) -> None:
        super().__init__()
        self.network, self._group = network, group

    def __call__(self, *inputs: Any) -> Any:
        """Runs the network in the mode of autograd."""
        return super().__call__(*inputs) if mx.autograd.is_training() else self.network(*inputs)

    def hybrid_forward(self, F: Any, *inputs: Any) -> Any:  # noqa: N803, ARG002 - Gluon's form
        """Runs the network over the group."""
        with self._group.in_pass():
            return self.network(*inputs)


def synchronise(block: Any, inputs: int) -> tuple[Any, GluonGroupSum]:
    """Lets the batch normalisations of a network of a number of inputs use statistics of the group, in place.

    The objects stay, with another class. Those that use their running statistics in training stay as they are.

    Returns:
        The network for training passes, hybridised, and the sum that it uses.

    Raises:
        InputError: there is none, or one whose statistics cannot be taken over the group.
    """
    group, found = GluonGroupSum(), list(_normalisations(block))
    for name, each in found:
        if type(each) is not nn.BatchNorm:
            text = f"{name} is a {type(each).__name__}, whose statistics hpcmtl cannot take over the group"
            raise InputError([Problem("sync_batchnorm", f"{text}; use nn.BatchNorm")])
        if not each._kwargs["use_global_stats"]:  # noqa: SLF001 - has no other name
            each.__class__ = GluonGroupBatchNorm
            each.group, each.layer = group, len(group.layers)
            group.layers.append(each)
    training = GroupTraining(block, group)
    problem = _problem_of_graph(training, inputs, bool(found))
    if problem:
        raise InputError([Problem("sync_batchnorm", problem)])
    training.hybridize(static_alloc=True)
    return training, group


def statistics_of(group: GluonGroupSum | None) -> set[Any]:
    """Returns the running statistics of the layers that use a sum; none without one."""
    layers = () if group is None else group.layers
    return {parameter for each in layers for parameter in (each.running_mean, each.running_var)}


def _normalisations(block: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yields the batch normalisations of a network, each once, by the name of the block."""
    seen: set[int] = set()

    def found(each: Any, name: str) -> Iterator[tuple[str, Any]]:
        if id(each) in seen:
            return
        seen.add(id(each))
        if isinstance(each, nn.basic_layers._BatchNorm):  # noqa: SLF001 - the base of all of them has no other name
            yield name or "the network", each
        for inner, child in each._children.items():  # noqa: SLF001 - has no other name
            yield from found(child, f"{name}.{inner}" if name else inner)

    yield from found(block, prefix)


def _problem_of_graph(training: Any, inputs: int, has_layers: bool) -> str:
    """Returns why a network cannot be trained with statistics of the group, or nothing."""
    with traced_as_in_training():
        graph = json.loads(traced(training, inputs).tojson())
    inside = list(_inner_nodes(graph["nodes"]))
    if any(_is_sum(node) for node in inside):
        return "a batch normalisation is in a loop or condition of MXNet's (`F.contrib.foreach`); use it outside"
    own = [node for node in [*graph["nodes"], *inside] if node["op"] in _NORMALISES and _takes_statistics(node)]
    if own:
        text = f"{own[0]['name']} is an operator {own[0]['op']} in the code of a block"
        return f"{text}, whose statistics hpcmtl cannot take over the group; use nn.BatchNorm"
    return "" if has_layers else "the network has no batch normalisation; leave the key out"


def _takes_statistics(node: dict[str, Any]) -> bool:
    return node.get("attrs", {}).get("use_global_stats", "False") not in {"True", "1"}


def _is_sum(node: dict[str, Any]) -> bool:
    return bool(node["op"] == "Custom" and node.get("attrs", {}).get("op_type") == OPERATOR)


def _inner_nodes(nodes: Sequence[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Yields the nodes of all subgraphs (loops, conditions) of a graph."""
    for node in nodes:
        for inner in node.get("subgraphs", ()):
            yield from inner["nodes"]
            yield from _inner_nodes(inner["nodes"])
