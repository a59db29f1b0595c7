"""Weights of objectives, and the parameters that they share: those of the rows of `Learner.backward_each`."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Sequence

    from hpcmtl.arrays import Floats

ObjectiveWeights: TypeAlias = "Sequence[float] | Callable[[Floats], Sequence[float]]"
"""One weight an objective; or a function that returns them for this rank's shares of the mean losses, (objectives,)."""


def shared_names(trained: Iterable[str], reached: Sequence[Collection[str]]) -> tuple[str, ...]:
    """Returns the names of the trained parameters that at least two objectives depend on; all for one objective.

    Args:
        trained: names of the trained parameters.
        reached: names of the parameters that each objective depends on.
    """
    used = Counter(name for names in reached for name in set(names))
    return tuple(name for name in trained if used[name] > 1 or len(reached) == 1)
