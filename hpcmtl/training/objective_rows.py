"""Weights of objectives, and the parameters that they share: those of the rows of `Learner.backward_each`."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeAlias

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Sequence

    from hpcmtl.arrays import Floats
    from hpcmtl.networks.consistency import Consistency

ObjectiveWeights: TypeAlias = "Sequence[float] | Callable[[Floats], Sequence[float]]"
"""One weight an objective; or a function that returns them for this rank's shares of the mean losses, (objectives,)."""

GradientPlace = Literal["last_shared_layer", "features"]
"""Where gradients of objectives are compared, other than by all shared parameters: by those of the last shared layer in
the order of the network, or by the output of the trunk."""

SharedWeights: TypeAlias = "Sequence[float] | Callable[[Floats, np.ndarray[Any, Any]], Sequence[float]]"
"""One weight an objective for the shared parameters; or a function that returns them for this rank's shares of the mean
losses, (objectives,), and the gradients of the objectives at a `GradientPlace`, (objectives, values)."""

_LEAST = 1e-6
_BLOCK = 1 << 14
"""Coordinates whose products are added in float64 at a time: the copies stay in the cache."""
_FEW = 16
"""Number of rows up to which a BLAS multiplies them faster one by one than all together: 3.5 times for 3 rows."""


class ObjectiveProducts(Protocol):
    """Inner products of the gradients of objectives by the shared parameters, and their weighted sums."""

    @property
    def gramian(self) -> Floats:
        """(objectives, objectives) float64 inner products."""
        ...

    def combine(self, weights: Sequence[float]) -> None:
        """Makes the gradients of the shared parameters the sum of those of the objectives times weights; once."""
        ...


def invertible(weights: Sequence[float]) -> list[float]:
    """Returns weights none of which is 0: at least a millionth of the largest one.

    The gradients of parameters of one objective alone are those of a weighted sum divided by its weight.
    """
    least = _LEAST * (max(map(abs, weights), default=0.0) or _LEAST)
    return [least if abs(weight) < least else weight for weight in weights]


def losses_reach(
    reached: Sequence[frozenset[str]], names: Sequence[str], consistency: Sequence[Consistency]
) -> list[frozenset[str]]:
    """Returns for each loss of a task the names of the parameters that it depends on.

    Args:
        reached: names of the parameters that each output depends on.
        names: names of the outputs.
        consistency: losses between two outputs, which come last.
    """
    by_name = dict(zip(names, reached, strict=True))
    heads = [[by_name[head] for head in each.trained_heads] for each in consistency]
    return [*reached, *(frozenset[str]().union(*each) for each in heads)]


def resting_names(
    trained: Iterable[str], reached: Sequence[Collection[str]], objectives: Iterable[int] | None
) -> frozenset[str]:
    """Returns the names of the trained parameters that none of some objectives depends on.

    Args:
        trained: names of the trained parameters.
        reached: names of the parameters that each objective depends on.
        objectives: numbers of the objectives; None for all.
    """
    if objectives is None:
        return frozenset()
    return frozenset(trained).difference(*(reached[number] for number in objectives))


def shared_names(trained: Iterable[str], reached: Sequence[Collection[str]]) -> tuple[str, ...]:
    """Returns the names of the trained parameters that at least two objectives depend on; all for one objective.

    Args:
        trained: names of the trained parameters.
        reached: names of the parameters that each objective depends on.
    """
    used = Counter(name for names in reached for name in set(names))
    return tuple(name for name in trained if used[name] > 1 or len(reached) == 1)


def gramian_of(rows: np.ndarray[Any, Any]) -> Floats:
    """Returns the inner products of float32 rows, (rows, rows), computed in float64."""
    total, width = np.zeros((len(rows), len(rows))), rows.shape[1]
    doubles = np.empty((len(rows), min(width, _BLOCK)))
    for start in range(0, width, _BLOCK):
        part = rows[:, start : start + _BLOCK]
        block = doubles[:, : part.shape[1]]
        block[...] = part
        if len(rows) > _FEW:
            total += block @ block.T
            continue
        for number, row in enumerate(block):
            total[number, : number + 1] += block[: number + 1] @ row
    return np.tril(total) + np.tril(total, -1).T if len(rows) <= _FEW else total
