"""The task source of ``hpcmtl add``: requests for more tasks, each examined on a thread of its own. Rank 0 only."""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING, Protocol

from hpcmtl.errors import HpcmtlError
from hpcmtl.results.rundir.requests import Answer

if TYPE_CHECKING:
    from collections.abc import Callable

    from hpcmtl.dispatch.coordinator.task_source import ExtendedJob
    from hpcmtl.results.events import RunEvent
    from hpcmtl.results.rundir.requests import Request

    GiveAnswer = Callable[[Request, Answer], None]

_log = logging.getLogger(__name__)


class JobExaminer(Protocol):
    """Examines a job with more tasks, which reads files and builds networks and so takes time."""

    def examine(self, request: Request) -> ExtendedJob:
        """Checks the tasks of an ``add`` request together with the job; called on a thread of its own.

        Raises:
            HpcmtlError: the tasks are not sound, or cannot be checked.
        """
        ...

    def accept(self, extended: ExtendedJob) -> None:
        """Takes note that the job has these tasks from now on.

        Raises:
            OSError: the files that describe the job cannot be written.
        """
        ...


class AddedTasks:
    """A `TaskSource`: examines ``add`` requests one after the other and offers the sound ones to the coordinator."""

    def __init__(self, examiner: JobExaminer, answer: GiveAnswer) -> None:
        """Starts without requests.

        Args:
            examiner: checks the tasks of a request.
            answer: gives a request its answer.
        """
        self._examiner, self._answer = examiner, answer
        self._waiting: list[Request] = []
        self._examination: _Examination | None = None

    @property
    def exhausted(self) -> bool:
        """See `TaskSource`; users may ask again at any time, but the job does not wait for that."""
        return self._examination is None and not self._waiting

    def add(self, request: Request) -> None:
        """Takes an ``add`` request, to be examined after those before it."""
        self._waiting.append(request)
        self._examine_next()

    def poll(self, now: float) -> ExtendedJob | None:  # noqa: ARG002 - nothing here depends on the time
        """See `TaskSource`."""
        done = self._examination
        if done is None or done.is_alive():
            return None
        if done.extended is not None:
            return done.extended
        self._answer(done.request, Answer(False, done.problem))
        self._examination = None
        self._examine_next()
        return None

    def answered(self, answer: Answer | None) -> None:
        """See `TaskSource`."""
        done, self._examination = self._examination, None
        assert done is not None, "an answer without a proposal"
        assert done.extended is not None, "an answer to a job that was not proposed"
        if answer is None:
            self._waiting.insert(0, done.request)
        else:
            if answer.accepted:
                self._accept(done.extended)
            self._answer(done.request, answer)
        self._examine_next()

    def on_event(self, event: RunEvent) -> None:
        """See `TaskSource`; what users add does not depend on events."""

    def close(self) -> None:
        """See `TaskSource`."""
        late = [self._examination.request] if self._examination else []
        waiting, self._waiting, self._examination = [*late, *self._waiting], [], None
        for request in waiting:
            self._answer(request, Answer(False, "the run has ended"))

    def _examine_next(self) -> None:
        if self._examination is None and self._waiting:
            self._examination = _Examination(self._examiner, self._waiting.pop(0))
            self._examination.start()

    def _accept(self, extended: ExtendedJob) -> None:
        try:
            self._examiner.accept(extended)
        except OSError as error:  # the job has the tasks; only the files that describe it are out of date
            _log.warning("the files of the job and its plan cannot be updated: %s", error)


class _Examination(threading.Thread):
    """The examination of one ``add`` request."""

    def __init__(self, examiner: JobExaminer, request: Request) -> None:
        super().__init__(name="examination", daemon=True)
        self._examiner, self.request = examiner, request
        self.extended: ExtendedJob | None = None
        self.problem = ""

    def run(self) -> None:
        try:
            self.extended = self._examiner.examine(self.request)
        except HpcmtlError as error:
            self.problem = str(error)
        except Exception as error:  # noqa: BLE001 - the user must get an answer, and the job must go on
            _log.exception("request %s could not be examined", self.request.id)
            self.problem = f"it could not be examined: {type(error).__name__}: {error}"
