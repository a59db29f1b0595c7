"""Consistency losses: objectives without a target, which tie the outputs of two heads that must agree."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

if TYPE_CHECKING:
    from hpcmtl.networks.objective import Objective
    from hpcmtl.networks.shapes import Shape

DISTANCES = ("kl", "js", "l2")
"""Consistency losses by name; others are the user's, as ``package.module:attribute``."""
OF_CLASSES = frozenset({"kl", "js"})
"""Those that compare the probabilities of classes."""
AnyLoss: TypeAlias = "Objective | Consistency"
"""A loss of a task, with a name and a weight."""
OutputValues = Literal["softmax", "sigmoid", "plain"]
"""What a head's outputs stand for: scores of classes, of labels (a single one is of two classes), or values."""
_VALUES_BY_LOSS: dict[str, OutputValues] = {"softmax_ce": "softmax", "sigmoid_bce": "sigmoid"}
LEAST_PROBABILITY = 1e-12
"""Bound on probabilities below a logarithm: a map may give a class no probability at all."""


@dataclass(frozen=True, kw_only=True)
class Consistency:
    """One consistency loss of a joint task.

    Attributes:
        name: name in the losses of the task.
        heads: the two heads; `map` is applied to the values of the first.
        loss: one of `DISTANCES`, or ``package.module:attribute``, which gets the outputs of both as they are.
        values: what the outputs of the heads stand for.
        weight: factor of the loss in the sum that is minimised.
        map: matrix (values of the first head, values of the second); None for none.
        stop_gradient: head that gets no gradient of this loss; None for none.
        unlabelled: whether only samples count that lack a label of one of the two heads.
    """

    name: str
    heads: tuple[str, str]
    loss: str
    values: tuple[OutputValues, OutputValues]
    weight: float = 1.0
    map: tuple[tuple[float, ...], ...] | None = None
    stop_gradient: str | None = None
    unlabelled: bool = False

    @property
    def is_of_user(self) -> bool:
        """Returns whether the loss is the user's."""
        return ":" in self.loss

    @property
    def trained_heads(self) -> tuple[str, ...]:
        """Returns the heads that get gradients of this loss."""
        return tuple(head for head in self.heads if head != self.stop_gradient)


def values_of_loss(loss: str) -> OutputValues:
    """Returns what the outputs of a head with a loss stand for."""
    return _VALUES_BY_LOSS.get(loss, "plain")


def table_matrix(table: tuple[int, ...]) -> tuple[tuple[float, ...], ...]:
    """Returns the matrix of a table that gives the class of the second head for each class of the first."""
    classes = max(table) + 1
    return tuple(tuple(float(each == column) for column in range(classes)) for each in table)


def number_of_values(values: OutputValues, shape: Shape) -> int:
    """Returns the number of values that are compared of a head with outputs of a shape; see `OutputValues`."""
    count = math.prod(shape)
    return 2 if values == "sigmoid" and count == 1 else count


def consistency_problem(consistency: Consistency, first: Shape | None, second: Shape | None) -> str | None:
    """Returns why a consistency loss cannot compare outputs of some shapes, else None.

    Args:
        consistency: the loss.
        first: shape of one sample of the first head's output; None where it is not known.
        second: the same of the second head.
    """
    if consistency.is_of_user:
        return None
    one, two = consistency.heads
    for head, values, shape in zip(consistency.heads, consistency.values, (first, second), strict=True):
        if consistency.loss in OF_CLASSES and values == "sigmoid" and shape is not None and math.prod(shape) != 1:
            return f"{consistency.loss} compares classes, but {head} has {math.prod(shape)} labels a sample; use l2"
    counts = [
        None if shape is None else number_of_values(values, shape)
        for values, shape in zip(consistency.values, (first, second), strict=True)
    ]
    rows, columns = (len(consistency.map), len(consistency.map[0])) if consistency.map else (counts[1], counts[0])
    if None in counts:
        return None
    if consistency.map is None and counts[0] != counts[1]:
        return (
            f"{one} has {counts[0]} values and {two} has {counts[1]}; add a `map` from those of {one} to those of {two}"
        )
    if consistency.map is not None and (rows, columns) != tuple(counts):
        text = f"`map` is from {rows} values to {columns}, but {one} has {counts[0]} values and {two} has {counts[1]}"
        return f"{text}; write a row for each value of {one}, with a number for each of {two}"
    return None
