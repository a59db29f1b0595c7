"""The affinity of the objectives of a task: cosines between their gradients, and the groups that these suggest."""

from __future__ import annotations

from collections.abc import Mapping  # noqa: TC003 - pydantic reads the annotations
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

COSINES, WEIGHTS = "objective_cosines", "objective_weights"
"""Names of the facts of a layer that has objectives which are compared."""
NEAR = 0.5
"""Least mean cosine between two groups of objectives that are joined to one."""


@dataclass(frozen=True, kw_only=True)
class Affinity:
    """Holds the affinity of the objectives of a task.

    Attributes:
        cosines: mean cosine between the gradients of each pair, by ``"one, other"``.
        groups: names of the objectives that may share a trunk, each in one group.
    """

    cosines: Mapping[str, float] = field(default_factory=dict)
    groups: tuple[tuple[str, ...], ...] = ()

    @property
    def text(self) -> str:
        """The groups, for people."""
        return "; ".join(" + ".join(group) for group in self.groups)


def affinity_of(layers: Iterable[Mapping[str, Any]]) -> Affinity | None:
    """Returns the affinity in the newest layer of a task that compared gradients; None if none did.

    Gradients pass through the heads, and random heads turn those of two copies of a task away from each other: at the
    start cosines are near 0 whatever the tasks, and grow while the heads are learnt.

    Args:
        layers: facts of each layer that was run, in order.
    """
    compared = [facts for facts in layers if facts.get(COSINES)]
    if not compared:
        return None
    cosines = {pair: float(cosine) for pair, cosine in compared[-1][COSINES].items()}
    return Affinity(cosines=cosines, groups=groups_of(tuple(compared[-1][WEIGHTS]), cosines))


def groups_of(names: Sequence[str], cosines: Mapping[str, float]) -> tuple[tuple[str, ...], ...]:
    """Returns groups of objectives: the two nearest are joined, until no two are near each other.

    Two groups are as near as the mean of the cosines of their pairs (average linkage: Sokal and Michener, "A
    statistical method for evaluating systematic relationships", 1958).

    Args:
        names: names of the objectives.
        cosines: mean cosine of each pair, by ``"one, other"`` in the order of the names.
    """
    groups: list[tuple[str, ...]] = [(name,) for name in names]
    while len(groups) > 1:
        pairs = [(one, other) for place, one in enumerate(groups) for other in groups[place + 1 :]]
        one, other = max(pairs, key=lambda pair: _nearness(pair[0], pair[1], cosines))
        if _nearness(one, other, cosines) < NEAR:
            break
        joined = (*one, *other)
        groups = [joined if group is one else group for group in groups if group is not other]
    return tuple(tuple(sorted(group, key=list(names).index)) for group in groups)


def _nearness(one: Sequence[str], other: Sequence[str], cosines: Mapping[str, float]) -> float:
    """Returns the mean cosine between the objectives of two groups."""
    found = [cosines.get(f"{a}, {b}", cosines.get(f"{b}, {a}", 0.0)) for a in one for b in other]
    return sum(found) / len(found)
