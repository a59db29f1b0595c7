"""Consistency losses of Gluon networks; they run operation by operation: symbols have no numbers of classes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from hpcmtl.networks.consistency import LEAST_PROBABILITY, OF_CLASSES
from hpcmtl.training.gluon.compat import import_mxnet

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from hpcmtl.networks.consistency import Consistency, OutputValues

mx = import_mxnet()


def make_distance(consistency: Consistency, own: Callable[[Any, Any], Any] | None, context: Any) -> Callable[..., Any]:
    """Returns a function of the outputs of two heads to a value for each sample.

    Args:
        consistency: the loss.
        own: the user's loss, if it is the user's.
        context: context of the outputs.
    """
    if own is not None:
        return own
    given = consistency.map
    matrix = None if given is None else mx.nd.array(np.array(given, np.float32), ctx=context)
    one, two = consistency.values

    def distance(first: Any, second: Any) -> Any:
        mapped = _values(first, one)
        mapped = mapped if matrix is None else mx.nd.dot(mapped, matrix)
        if consistency.loss not in OF_CLASSES:
            return mx.nd.mean(mx.nd.square(mapped - _values(second, two)), axis=1) / 2
        logarithms = mx.nd.log_softmax(_scores(second, two), axis=1)
        return (_kl if consistency.loss == "kl" else _js)(mapped, logarithms)

    return distance


class ConsistencyLosses:
    """Computes the consistency losses of a task.

    Attributes:
        own: the users' losses among them, as blocks.
        count: number of losses.
    """

    def __init__(
        self, consistency: Sequence[Consistency], heads: Sequence[str], own: Mapping[str, Any], context: Any
    ) -> None:
        """Takes the losses, the heads in the order of the outputs, users' losses by name, and the outputs' context."""
        self.own, self.count, self._heads = list(own.values()), len(consistency), tuple(heads)
        self._distances = [(each, make_distance(each, own.get(each.name), context)) for each in consistency]

    def values(self, outputs: Sequence[Any]) -> list[Any]:
        """Returns for each loss its value for each row of the outputs of all heads, (n,)."""
        by_head = dict(zip(self._heads, outputs, strict=True))
        found = []
        for each, distance in self._distances:
            given = [mx.nd.BlockGrad(by_head[n]) if n == each.stop_gradient else by_head[n] for n in each.heads]
            # A user's loss may have more axes.
            found.append(mx.nd.mean(mx.nd.reshape(distance(*given), shape=(0, -1)), axis=1))
        return found


def _flat(outputs: Any) -> Any:
    return mx.nd.reshape(outputs, shape=(outputs.shape[0], -1))


def _scores(outputs: Any, values: OutputValues) -> Any:
    """Returns the scores of classes, (n, classes)."""
    scores = _flat(outputs)
    return mx.nd.concat(mx.nd.zeros_like(scores), scores, dim=1) if values == "sigmoid" else scores


def _values(outputs: Any, values: OutputValues) -> Any:
    """Returns what is compared, (n, values): probabilities of classes or labels, or the outputs themselves."""
    scores = _flat(outputs)
    if values == "softmax" or (values == "sigmoid" and scores.shape[1] == 1):
        return mx.nd.softmax(_scores(outputs, values), axis=1)
    return mx.nd.sigmoid(scores) if values == "sigmoid" else scores


def _logarithm(probabilities: Any) -> Any:
    return mx.nd.log(mx.nd.maximum(probabilities, LEAST_PROBABILITY))


def _kl(one: Any, logarithms: Any) -> Any:
    """Returns the Kullback-Leibler divergence of the second distribution from the first, (n,)."""
    return mx.nd.sum(one * (_logarithm(one) - logarithms), axis=1)


def _js(one: Any, logarithms: Any) -> Any:
    """Returns the Jensen-Shannon divergence, (n,): the mean divergence of both from their mean."""
    two = mx.nd.exp(logarithms)
    mean = _logarithm((one + two) / 2)
    return (_kl(one, mean) + mx.nd.sum(two * (logarithms - mean), axis=1)) / 2
