"""The coordinator of a running job: the control thread of rank 0 gives it reports and carries out its orders."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Protocol

from hpcmtl.dispatch.coordinator.recovery import lose
from hpcmtl.dispatch.coordinator.running import StopNowError
from hpcmtl.dispatch.protocol import PointsReport, ProgressReport, StopRequest
from hpcmtl.dispatch.requests.steering import extend
from hpcmtl.dispatch.scheduling.deadline import hopeless

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from hpcmtl.dispatch.coordinator.dispatcher import Dispatcher
    from hpcmtl.dispatch.coordinator.state import Order
    from hpcmtl.dispatch.membership.survivors import SurvivorReport
    from hpcmtl.dispatch.membership.world import World
    from hpcmtl.dispatch.protocol import Report
    from hpcmtl.dispatch.requests.request_queue import RequestQueue
    from hpcmtl.dispatch.scheduling.deadline import TimeLimit
    from hpcmtl.results.outcome.summary import TaskStatus


class Subscriber(Protocol):
    """Receives the coordinator's decisions."""

    def announce(self, running: Iterable[str], ended: Mapping[str, TaskStatus]) -> None:
        """Takes the names of the tasks that run now, and the status of each task that has ended."""
        ...


class Coordinator:
    """Turns reports and the clock into orders.

    The dispatcher decides about tasks. Requests of users, task sources and the time limit act on it here, in a fixed
    order. Subscribers get one notification for each event that the coordinator handles, before its orders go out. A
    layer that ends and the next layer of its task that starts are one event, so that the task never seems to pause.
    """

    def __init__(
        self,
        dispatcher: Dispatcher,
        *,
        requests: RequestQueue | None = None,
        limit: TimeLimit | None = None,
        grace: float = 0.0,
    ) -> None:
        """Joins the parts.

        Args:
            dispatcher: the state machine; its task sources are polled here.
            requests: the requests of users; None where none are taken.
            limit: the time limit of the batch job; None where there is none.
            grace: seconds that layers have to stop in after SIGTERM; 0 for ever.
        """
        self.dispatcher = dispatcher
        self._requests, self._limit = requests, limit
        self._grace, self._stopped_by = grace, math.inf
        self._subscribers: list[Subscriber] = []
        self._exhausted = dispatcher.sources.exhausted

    def subscribe(self, subscriber: Subscriber) -> None:
        """Notifies a subscriber of every decision from now on."""
        self._subscribers.append(subscriber)

    def start(self, now: float) -> list[Order]:
        """Returns the first orders."""
        return self._announced([*self.dispatcher.start(now), *self._stop_in_vain(now)])

    def handle(self, report: Report, now: float) -> list[Order]:
        """Takes a report and returns the orders that follow from it."""
        self._note_signal(report, now)
        # The stop comes first: a layer that has just ended makes room for no other layer.
        orders = [*self._stop_in_time(now), *self.dispatcher.handle(report, now), *self._stop_in_vain(now)]
        return orders if isinstance(report, ProgressReport | PointsReport) else self._announced(orders)

    def end_stuck(self, reason: str) -> StopNowError:
        """Fails the tasks of stuck layers, whose ranks cannot be lost without the run; returns the end of the run."""
        for state in self.dispatcher.tasks.values():
            if state.running is not None:
                self.dispatcher.lifecycle.fail_stuck(state, state.running)
        return StopNowError(reason)

    def lose(self, world: World, reports: Sequence[SurvivorReport], now: float) -> list[Order]:
        """Goes on with the members that live, see `recovery.lose`."""
        # The loss comes first: a stop is for the ranks that are left.
        orders = lose(self.dispatcher, world, reports, now)
        return self._announced([*orders, *self._stop_in_time(now), *self._stop_in_vain(now)])

    def check(self, now: float) -> list[Order]:
        """Looks at the clock, the requests and the task sources, and returns the orders that follow.

        Raises:
            UnrecoverableError: see `Dispatcher.check`.
            StopNowError: layers have not stopped in time after SIGTERM.
        """
        if now > self._stopped_by and not self.dispatcher.ended:
            tasks = [name for name, state in self.dispatcher.tasks.items() if state.running is not None]
            raise StopNowError(f"no step boundary of {', '.join(tasks)} within {self._grace:g} s of SIGTERM")
        orders = [*self._stop_in_time(now), *self.dispatcher.check(now)]
        if self._requests is not None:
            orders += self._requests.look(now)
        orders += [*self._poll(now), *self._stop_in_vain(now)]
        return self._announced(orders) if orders else orders

    def close(self) -> None:
        """Refuses all requests and task sources that come too late for the run."""
        if self._requests is not None:
            self._requests.close()
        for source in self.dispatcher.sources.sources:
            source.close()

    def _note_signal(self, report: Report, now: float) -> None:
        if self._grace and isinstance(report, StopRequest) and report.signal == "SIGTERM":
            self._stopped_by = min(self._stopped_by, now + self._grace)

    def _poll(self, now: float) -> list[Order]:
        """Passes events on to the task sources and adds the tasks that they have ready."""
        orders: list[Order] = []
        sources = self.dispatcher.sources
        sources.deliver()
        for source in sources.sources:
            extended = None if self.dispatcher.ended else source.poll(now)
            if extended is not None:
                answer, more = extend(self.dispatcher, extended, now)
                source.answered(answer)
                orders += more
        exhausted, self._exhausted = self._exhausted, sources.exhausted
        return orders + (self.dispatcher.go_on(now) if self._exhausted and not exhausted else [])

    def _stop_in_time(self, now: float) -> list[Order]:
        if self._limit is None or now < self._limit.stop_at or self._is_over:
            return []
        return self.dispatcher.stop("the time limit is near", now)

    def _stop_in_vain(self, now: float) -> list[Order]:
        """Stops the job if no layer runs and no layer that is left can end in time."""
        late = [] if self._limit is None or self._is_over else hopeless(self.dispatcher.tasks)
        if self._limit is None or not late:
            return []
        left = self._limit.end - now
        return self.dispatcher.stop(f"in the {left:.0f} s that are left no layer can end of {', '.join(late)}", now)

    @property
    def _is_over(self) -> bool:
        return self.dispatcher.ended or self.dispatcher.stopping

    def _announced(self, orders: list[Order]) -> list[Order]:
        tasks = self.dispatcher.tasks
        running = [name for name, state in tasks.items() if state.running is not None]
        ended = {name: state.status for name, state in tasks.items() if state.status is not None}
        for subscriber in self._subscribers:
            subscriber.announce(running, ended)
        return orders
