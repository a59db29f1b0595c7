"""The learning rate of a training task by step, and its changes while the task runs."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from hpcmtl.results.events import LearningRateChanged
from hpcmtl.training.schedule import rebased
from hpcmtl.training.sessions.parts import SessionPart

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hpcmtl.training.checkpointing.content import Checkpoint
    from hpcmtl.training.orders import LayerOrders
    from hpcmtl.training.schedule import RateSchedule
    from hpcmtl.training.session import SessionContext


class LearningRate(SessionPart):
    """Keeps the schedule of a task.

    Attributes:
        schedule: learning rate by step, from here on.
    """

    def __init__(self, schedule: RateSchedule) -> None:
        self.schedule = schedule

    def facts(self) -> Mapping[str, Any]:
        """See `SessionPart`."""
        return {"schedule": dataclasses.asdict(self.schedule), "learning_rate": self.schedule.base_learning_rate}

    def load(self, found: Checkpoint) -> None:
        """See `SessionPart`."""
        if found.facts:
            self.schedule = rebased(self.schedule, float(found.facts["learning_rate"]))

    def take(self, context: SessionContext, orders: LayerOrders, number: int, step: int) -> RateSchedule:
        """Applies a change of the learning rate from a step on, the same on all ranks; returns the new schedule."""
        base = orders.numbered(number).learning_rate
        if base != self.schedule.base_learning_rate:
            self.schedule = rebased(self.schedule, base)
            if context.group.rank == 0:
                task, layer = context.task, orders.layer
                orders.record(LearningRateChanged(task=task, layer=layer, step=step, learning_rate=base))
        return self.schedule
