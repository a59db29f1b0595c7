"""Requests of users to a running job: taken from its run directory, carried out, and answered there. Rank 0 only."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from hpcmtl.dispatch.requests.steering import steer
from hpcmtl.results.events import RequestAccepted, RequestRefused
from hpcmtl.results.rundir.requests import Answer, Unreadable, give_answer, take

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from hpcmtl.dispatch.coordinator.dispatcher import Dispatcher
    from hpcmtl.dispatch.coordinator.state import Order
    from hpcmtl.dispatch.requests.additions import AddedTasks
    from hpcmtl.results.events import RunEvent
    from hpcmtl.results.rundir.requests import Request

_log = logging.getLogger(__name__)

SECONDS_BETWEEN_LOOKS = 0.5  # a look lists one directory, which may be on a file system that many share


class RequestFolder:
    """The folder of a run directory in which requests and answers lie."""

    def __init__(self, folder: Path, record: Callable[[RunEvent], None]) -> None:
        """Opens the folder, which need not exist yet.

        Args:
            folder: path of the folder.
            record: records an event for each answer.
        """
        self._folder, self._record = folder, record
        self._trouble = ""

    def take(self) -> list[Request | Unreadable]:
        """Returns the requests that wait, and names the files that are none; nothing if the folder is away."""
        try:
            found = take(self._folder)
        except OSError as error:  # a file system that is away for a moment is no reason to end the job
            if str(error) != self._trouble:
                self._trouble = str(error)
                _log.warning("requests cannot be read: %s", error)
            return []
        self._trouble = ""
        return found

    def answer(self, request: Request | Unreadable, answer: Answer) -> None:
        """Records an answer and writes it for the user who waits for it."""
        fields = {"request": request.id} if isinstance(request, Unreadable) else request.to_event()
        kind = RequestAccepted if answer.accepted else RequestRefused
        event = kind(**fields, message=answer.message)
        self._record(event)
        try:
            give_answer(self._folder, event.request, answer)
        except OSError as error:
            _log.warning("%s: the answer to request %s cannot be written: %s", event.name, event.request, error)


class RequestQueue:
    """Carries out requests; one thread alone calls it."""

    def __init__(self, folder: RequestFolder, dispatcher: Dispatcher, added: AddedTasks | None = None) -> None:
        """Starts with whatever lies in the folder.

        Args:
            folder: requests and answers.
            dispatcher: state machine that requests act on.
            added: task source that gets the ``add`` requests; None where tasks cannot be added.
        """
        self._folder, self._dispatcher, self._added = folder, dispatcher, added
        self._next_look = 0.0

    def look(self, now: float) -> list[Order]:
        """Carries out the requests since the last look, at most every half second, and returns the orders for them."""
        if self._dispatcher.ended or now < self._next_look:
            return []
        self._next_look = now + SECONDS_BETWEEN_LOOKS
        return [order for request in self._folder.take() for order in self._execute(request, now)]

    def close(self) -> None:
        """Refuses the requests that came too late."""
        for request in self._folder.take():
            self._folder.answer(request, Answer(False, "the run has ended"))

    def _execute(self, request: Request | Unreadable, now: float) -> list[Order]:
        if isinstance(request, Unreadable):
            self._folder.answer(request, Answer(False, request.reason))
            return []
        if request.verb == "add" and self._added is not None:
            self._added.add(request)
            return []
        try:
            answer, orders = steer(self._dispatcher, request, now)
        except (ValueError, TypeError, ArithmeticError, LookupError, RecursionError) as error:
            # No request may end the job; what it should have been is in the log.
            _log.exception("request %s failed", request.id)
            answer, orders = Answer(False, f"it cannot be carried out: {type(error).__name__}: {error}"), []
        self._folder.answer(request, answer)
        return orders
