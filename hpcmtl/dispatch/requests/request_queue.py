"""Where a running job takes requests: from its run directory to the dispatcher, and the answers back. Rank 0 only."""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING, Protocol

from hpcmtl.dispatch.requests.steering import ExtendedJob, extend, steer
from hpcmtl.errors import HpcmtlError
from hpcmtl.results.events import RequestAccepted, RequestRefused
from hpcmtl.results.rundir.requests import Answer, Request, give_answer, take

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from hpcmtl.dispatch.coordinator.dispatcher import Dispatcher
    from hpcmtl.dispatch.coordinator.state import Coordinator, Observer, Order
    from hpcmtl.dispatch.membership.survivors import SurvivorReport
    from hpcmtl.dispatch.protocol import Report

_log = logging.getLogger(__name__)

SECONDS_BETWEEN_LOOKS = 0.5  # a look lists one directory, which may be on a file system that many share


class Additions(Protocol):
    """What can examine a job with more tasks; that takes files and networks, and so time."""

    def examine(self, request: Request) -> ExtendedJob:
        """Check the tasks of an ``add`` request together with the job; called on a thread of its own.

        Raises:
            HpcmtlError: they are not sound, or cannot be checked.
        """
        ...

    def accept(self, extended: ExtendedJob) -> None:
        """Note that the job has these tasks from now on."""
        ...


class _Examination(threading.Thread):
    """The check of one ``add`` request."""

    def __init__(self, additions: Additions, request: Request) -> None:
        super().__init__(name="examination", daemon=True)
        self._additions, self.request = additions, request
        self.extended: ExtendedJob | None = None
        self.problem = ""

    def run(self) -> None:
        try:
            self.extended = self._additions.examine(self.request)
        except HpcmtlError as error:
            self.problem = str(error)
        except Exception as error:  # noqa: BLE001 - whatever it is, who asked has to know, and the job goes on
            _log.exception("request %s could not be examined", self.request.id)
            self.problem = f"it could not be examined: {type(error).__name__}: {error}"


class Attended:
    """A `Coordinator` that takes requests as well."""

    def __init__(self, coordinator: Coordinator, request_queue: RequestQueue) -> None:
        self._coordinator, self._request_queue = coordinator, request_queue

    def start(self, now: float) -> list[Order]:
        """See `Coordinator`."""
        return self._coordinator.start(now)

    def handle(self, report: Report, now: float) -> list[Order]:
        """See `Coordinator`."""
        return self._coordinator.handle(report, now)

    def lose(self, survivors: tuple[int, ...], calls: Sequence[SurvivorReport], now: float) -> list[Order]:
        """See `Coordinator`."""
        return self._coordinator.lose(survivors, calls, now)

    def check(self, now: float) -> list[Order]:
        """See `Coordinator`."""
        return [*self._coordinator.check(now), *self._request_queue.look(now)]


class RequestQueue:
    """Looks for requests every now and then; one thread alone calls it."""

    def __init__(self, folder: Path, dispatcher: Dispatcher, observer: Observer, additions: Additions) -> None:
        """Open it.

        Args:
            folder: where requests and answers lie.
            dispatcher: carries them out.
            observer: is told of each.
            additions: examines new tasks.
        """
        self._folder, self._dispatcher, self._observer = folder, dispatcher, observer
        self._additions = additions
        self._added: list[Request] = []  # to be examined, one after the other
        self._examination: _Examination | None = None
        self._next_look = 0.0
        self._trouble = ""

    def look(self, now: float) -> list[Order]:
        """Carry out what was asked since the last look; the orders that follow."""
        if self._dispatcher.ended:
            return []
        orders = self._examined(now)
        if now >= self._next_look:
            self._next_look = now + SECONDS_BETWEEN_LOOKS
            orders += [order for request in self._take() for order in self._carry_out(request, now)]
        return orders

    def close(self) -> None:
        """Refuse what came too late."""
        late = [self._examination.request] if self._examination else []
        for request in [*late, *self._added, *self._take()]:
            self._answer(request, Answer(False, "the run has ended"))

    def _carry_out(self, request: Request | str, now: float) -> list[Order]:
        if isinstance(request, str):
            self._answer(request, Answer(False, "this is no request that this version of hpcmtl can read"))
            return []
        if request.verb == "add":
            self._added.append(request)
            return self._examined(now)
        answer, orders = steer(self._dispatcher, request, now)
        self._answer(request, answer)
        return orders

    def _examined(self, now: float) -> list[Order]:
        """Carry out what has been examined, and examine what comes next; the job does not end meanwhile."""
        orders: list[Order] = []
        done = self._examination
        if done is not None and not done.is_alive():
            self._examination = None
            answer = Answer(False, done.problem)
            if done.extended is not None:
                answer, orders = extend(self._dispatcher, done.extended, now)
            if done.extended is not None and answer.accepted:
                self._accept(done.extended)
            self._answer(done.request, answer)
        if self._examination is None and self._added:
            self._examination = _Examination(self._additions, self._added.pop(0))
            self._examination.start()
        expected, self._dispatcher.expecting = self._dispatcher.expecting, self._examination is not None
        return orders + (self._dispatcher.go_on(now) if expected and not self._dispatcher.expecting else [])

    def _accept(self, extended: ExtendedJob) -> None:
        try:
            self._additions.accept(extended)
        except OSError as error:  # the job has the tasks; only what is said of it in files is old
            _log.warning("job and plan cannot be written anew: %s", error)

    def _take(self) -> list[Request | str]:
        try:
            found = take(self._folder)
        except OSError as error:  # a file system that is away for a moment is no reason to end the job
            if str(error) != self._trouble:
                self._trouble = str(error)
                _log.warning("requests cannot be read: %s", error)
            return []
        self._trouble = ""
        return found

    def _answer(self, request: Request | str, answer: Answer) -> None:
        fields = {"request": request} if isinstance(request, str) else request.to_event()
        kind = RequestAccepted if answer.accepted else RequestRefused
        event = kind(**fields, message=answer.message)
        self._observer.record(event)
        try:
            give_answer(self._folder, event.request, answer)
        except OSError as error:
            _log.warning("%s: the answer to request %s cannot be written: %s", event.name, event.request, error)
