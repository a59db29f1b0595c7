"""Orders for a task layer that runs: a stop, or another learning rate."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from hpcmtl.results.events import LearningRateChanged


@dataclass(frozen=True)
class Rate:
    """Change of the base learning rate while the job runs.

    Attributes:
        number: number of changes of the task up to now, this one included.
        learning_rate: new base learning rate, above 0.
    """

    number: int
    learning_rate: float


def _ignore(_event: LearningRateChanged) -> None:
    """Ignores the event."""


class LayerOrders:
    """Orders that one rank has received for the layer that it runs; written by the control thread, read by training.

    The ranks of a group receive an order at different moments. At each synchronisation point every rank contributes the
    number of the newest change that it has received, and all apply the smallest of these from the next step on.
    """

    def __init__(
        self,
        layer: int = 0,
        rate: Rate | None = None,
        record: Callable[[LearningRateChanged], None] = _ignore,
        start_number: int = 0,
    ) -> None:
        """Starts a layer.

        Args:
            layer: number of the layer.
            rate: change that applies from the first step of this layer; None if there was none.
            record: function that sends the event of an applied change to the ledger; called on the group's first rank.
            start_number: number of this start of a layer, counted over the job; artifacts of an earlier start have a
                smaller one.
        """
        self.layer, self.rate, self.start_number = layer, rate, start_number
        self.record = record
        self.stop = threading.Event()
        self._rates = {} if rate is None else {rate.number: rate}

    @property
    def newest(self) -> int:
        """Number of the newest change that this rank has received; 0 for none."""
        return max(self._rates, default=0)

    def order(self, rate: Rate) -> None:
        """Adds a change of the rate."""
        self._rates = {**self._rates, rate.number: rate}

    def numbered(self, number: int) -> Rate:
        """Returns the change with a number that the group has agreed on."""
        return self._rates[number]
