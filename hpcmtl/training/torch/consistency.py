"""Consistency losses of PyTorch networks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hpcmtl.networks.consistency import LEAST_PROBABILITY, OF_CLASSES
from hpcmtl.training.torch.compat import import_torch

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from hpcmtl.networks.consistency import Consistency, OutputValues

torch = import_torch()
F = torch.nn.functional


def make_distance(consistency: Consistency, own: Callable[[Any, Any], Any] | None, place: Any) -> Callable[..., Any]:
    """Returns a function of the outputs of two heads to a value for each sample.

    Args:
        consistency: the loss.
        own: the user's function, if the loss is the user's.
        place: device of the outputs.
    """
    if own is not None:
        return own
    matrix = None if consistency.map is None else torch.tensor(consistency.map, dtype=torch.float32, device=place)
    one, two = consistency.values

    def distance(first: Any, second: Any) -> Any:
        mapped = _values(first, one)
        mapped = mapped if matrix is None else mapped @ matrix
        if consistency.loss not in OF_CLASSES:
            return (mapped - _values(second, two)).square().mean(dim=1) / 2
        logarithms = F.log_softmax(_scores(second, two), dim=1)
        return (_kl if consistency.loss == "kl" else _js)(mapped, logarithms)

    return distance


def of_outputs(consistency: Consistency, distance: Callable[..., Any], outputs: Mapping[str, Any]) -> Any:
    """Returns the values of a consistency loss for the outputs of all heads by name."""
    stopped = consistency.stop_gradient
    return distance(*(outputs[head].detach() if head == stopped else outputs[head] for head in consistency.heads))


def _scores(outputs: Any, values: OutputValues) -> Any:
    """Returns the scores of classes, (n, classes)."""
    scores = outputs.reshape(len(outputs), -1)
    return torch.cat([torch.zeros_like(scores), scores], dim=1) if values == "sigmoid" else scores


def _values(outputs: Any, values: OutputValues) -> Any:
    """Returns what is compared, (n, values): probabilities of classes or labels, or the outputs themselves."""
    scores = outputs.reshape(len(outputs), -1)
    if values == "softmax" or (values == "sigmoid" and scores.shape[1] == 1):
        return F.softmax(_scores(outputs, values), dim=1)
    return torch.sigmoid(scores) if values == "sigmoid" else scores


def _kl(one: Any, logarithms: Any) -> Any:
    """Returns the Kullback-Leibler divergence of the second distribution from the first, (n,)."""
    return (one * (one.clamp_min(LEAST_PROBABILITY).log() - logarithms)).sum(dim=1)


def _js(one: Any, logarithms: Any) -> Any:
    """Returns the Jensen-Shannon divergence, (n,): the mean divergence of both from their mean."""
    mean = ((one + logarithms.exp()) / 2).clamp_min(LEAST_PROBABILITY).log()
    return (_kl(one, mean) + (logarithms.exp() * (logarithms - mean)).sum(dim=1)) / 2
