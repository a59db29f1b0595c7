"""What is ordered for a layer while it runs: a stop, or another learning rate."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from hpcmtl.results.events import LearningRateChanged


@dataclass(frozen=True)
class Rate:
    """A base learning rate that was ordered while the job ran.

    Attributes:
        number: how many were ordered for the task by then, this one included.
        learning_rate: above 0.
    """

    number: int
    learning_rate: float


def _ignore(_event: LearningRateChanged) -> None:
    """Ignores the event."""


class LayerOrders:
    """The orders that one rank knows for the layer that it runs: the control thread writes, training reads.

    The ranks of a group hear of an order at different moments. So each tells the number of the newest rate that it
    knows when the group meets, and all take the smallest of these from the next step on.
    """

    def __init__(
        self,
        layer: int = 0,
        rate: Rate | None = None,
        record: Callable[[LearningRateChanged], None] = _ignore,
        number: int = 0,
    ) -> None:
        """Begin a layer.

        Args:
            layer: its number.
            rate: what the task's first step in this layer is taken with, if one was ordered.
            record: sends the event of a rate that takes effect to the ledger; called on the group's first rank.
            number: of this start of a layer, counted over the job: tells what is made now from what was made before.
        """
        self.layer, self.rate, self.number = layer, rate, number
        self.record = record
        self.stop = threading.Event()
        self._rates = {} if rate is None else {rate.number: rate}

    @property
    def newest(self) -> int:
        """Number of the newest rate that this rank knows; 0 for none."""
        return max(self._rates, default=0)

    def order(self, rate: Rate) -> None:
        """Note a rate."""
        self._rates = {**self._rates, rate.number: rate}

    def numbered(self, number: int) -> Rate:
        """The rate with a number that the group has agreed on."""
        return self._rates[number]
