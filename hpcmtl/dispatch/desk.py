"""Where a running job takes requests: from its run directory to the dispatcher, and the answers back. Rank 0 only."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from hpcmtl.dispatch.steering import steer
from hpcmtl.results.requests import Answer, Request, give_answer, take

if TYPE_CHECKING:
    from pathlib import Path

    from hpcmtl.dispatch.dispatcher import Dispatcher
    from hpcmtl.dispatch.state import Observer, Order

_log = logging.getLogger(__name__)

SECONDS_BETWEEN_LOOKS = 0.5  # a look lists one directory, which may be on a file system that many share


class Desk:
    """Looks for requests every now and then; one thread alone calls it."""

    def __init__(self, folder: Path, dispatcher: Dispatcher, observer: Observer) -> None:
        """Open it.

        Args:
            folder: where requests and answers lie.
            dispatcher: carries them out.
            observer: is told of each.
        """
        self._folder, self._dispatcher, self._observer = folder, dispatcher, observer
        self._next_look = 0.0
        self._trouble = ""

    def look(self, now: float) -> list[Order]:
        """Carry out what was asked since the last look; the orders that follow."""
        if now < self._next_look or self._dispatcher.ended:
            return []
        self._next_look = now + SECONDS_BETWEEN_LOOKS
        return [order for request in self._take() for order in self._carry_out(request, now)]

    def close(self) -> None:
        """Refuse what came too late."""
        for request in self._take():
            self._answer(request, Answer(False, "the run has ended"))

    def _carry_out(self, request: Request | str, now: float) -> list[Order]:
        if isinstance(request, str):
            self._answer(request, Answer(False, "this is no request that this version of hpcmtl can read"))
            return []
        answer, orders = steer(self._dispatcher, request, now)
        self._answer(request, answer)
        return orders

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
        event = "request_accepted" if answer.accepted else "request_refused"
        told = {"request": request} if isinstance(request, str) else request.told()
        self._observer.record(event, **told, message=answer.message)
        try:
            give_answer(self._folder, str(told["request"]), answer)
        except OSError as error:
            _log.warning("request %s was %s, but the answer cannot be written: %s", told["request"], event[8:], error)
