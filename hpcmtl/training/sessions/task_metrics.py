"""The metrics of a training task over all its layers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hpcmtl.results.undefined import from_facts, to_facts
from hpcmtl.training.sessions.parts import SessionPart

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from hpcmtl.networks.consistency import AnyLoss
    from hpcmtl.training.checkpointing.content import Checkpoint


class TaskMetrics(SessionPart):
    """Keeps the newest value of each metric.

    Attributes:
        values: name -> value, on all ranks of the group.
    """

    def __init__(self) -> None:
        self.values: dict[str, float] = {}

    def facts(self) -> Mapping[str, Any]:
        """See `SessionPart`."""
        return {"metrics": to_facts(self.values)}

    def load(self, found: Checkpoint) -> None:
        """See `SessionPart`."""
        self.values = from_facts(found.facts.get("metrics", {}))


def named_losses(losses: Mapping[str, float]) -> dict[str, float]:
    """Returns mean losses of objectives by their names in the results."""
    return {"loss" if name == "main" else f"{name}.loss": value for name, value in losses.items()}


def total_loss(losses: Mapping[str, float], objectives: Sequence[AnyLoss]) -> float | None:
    """Returns the sum of the mean losses of objectives by name, times their weights; None if one is missing."""
    if any(each.name not in losses for each in objectives):
        return None
    return sum(each.weight * losses[each.name] for each in objectives)
