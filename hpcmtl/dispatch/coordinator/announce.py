"""A steersman whose every decision is told, before it is carried out, to those who must know which tasks run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hpcmtl.dispatch.protocol import ProgressReport

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from hpcmtl.dispatch.coordinator.dispatcher import Dispatcher
    from hpcmtl.dispatch.coordinator.state import Coordinator, Order
    from hpcmtl.dispatch.membership.survivors import SurvivorReport
    from hpcmtl.dispatch.protocol import Report
    from hpcmtl.results.outcome.summary import TaskStatus

    Tell = Callable[[Iterable[str], Mapping[str, TaskStatus]], None]


class Announcing:
    """A `Coordinator` that tells which tasks run, and how others ended, as one piece of news for each event.

    A layer that ends and the next layer of its task that starts by the same event are one decision: nobody sees the
    task pause in between. News go out before the orders that they follow from.
    """

    def __init__(self, coordinator: Coordinator, dispatcher: Dispatcher, tell: Tell) -> None:
        """Stand before a steersman.

        Args:
            coordinator: gives the orders.
            dispatcher: knows the tasks.
            tell: is told of them.
        """
        self._coordinator, self._dispatcher, self._tell = coordinator, dispatcher, tell

    def start(self, now: float) -> list[Order]:
        """See `Dispatcher`."""
        return self._told(self._coordinator.start(now))

    def handle(self, report: Report, now: float) -> list[Order]:
        """See `Dispatcher`."""
        orders = self._coordinator.handle(report, now)
        return orders if isinstance(report, ProgressReport) else self._told(orders)

    def lose(self, survivors: tuple[int, ...], calls: Sequence[SurvivorReport], now: float) -> list[Order]:
        """See `Coordinator`."""
        return self._told(self._coordinator.lose(survivors, calls, now))

    def check(self, now: float) -> list[Order]:
        """See `Dispatcher`."""
        orders = self._coordinator.check(now)
        return self._told(orders) if orders else orders

    def _told(self, orders: list[Order]) -> list[Order]:
        tasks = self._dispatcher.tasks
        running = [name for name, state in tasks.items() if state.running is not None]
        self._tell(running, {name: state.status for name, state in tasks.items() if state.status is not None})
        return orders
