"""Connects ranks with the parameter server: its thread on rank 0, and the client of every rank's main thread.

Requests travel on one duplicate of the world and replies on another, so that rank 0 can be its own client. Arrays
travel as buffers. At most one version of a channel is in flight: a producer never waits for its consumers.

The dispatcher sees both tasks and judges the time that one waits for the other. Here a wait is bounded by the server
alone: a client that has waited for long sends a `Ping`, and gives up if there is no answer.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hpcmtl.communicators.base import CommunicationError, RankLostError
from hpcmtl.communicators.polling import Backoff, next_message
from hpcmtl.errors import ExitCode
from hpcmtl.exchange.packed_arrays import PackedArrays, pack, receive_content, send
from hpcmtl.exchange.parameter_server import AverageReply, Pull, PullReply, PushForAverage, PushVersion

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    import numpy as np

    from hpcmtl.communicators.base import Communicator, SendHandle
    from hpcmtl.exchange.parameter_server import ParameterReply, ParameterRequest, ParameterServer, VersionChannel
    from hpcmtl.results.outcome.summary import TaskStatus

_log = logging.getLogger(__name__)

_POLL_SECONDS = 0.05
SECONDS_BETWEEN_WARNINGS = 60.0
"""Seconds between two warnings of a client that waits."""
PATIENCE = 5
"""Number of warnings without an answer after which the server counts as lost.

It is no number of seconds: a process that was stopped for an hour has not waited for an hour.
"""


@dataclass(frozen=True)
class Ping:
    """Asks the parameter server for an answer, and is the answer."""


class ParameterClient:
    """Sends the requests of one rank to the parameter server; for its main thread alone."""

    def __init__(self, requests: Communicator, replies: Communicator) -> None:
        self._requests, self._replies = requests, replies
        self._sending: dict[VersionChannel, list[SendHandle]] = {}
        self._never = threading.Event()
        self._unanswered = 0  # warnings since an unanswered `Ping`; 0 without one

    def push_version(self, channel: VersionChannel, version: int, arrays: Mapping[str, np.ndarray[Any, Any]]) -> bool:
        """Starts to send a version; the arrays are copied.

        Returns:
            False, and sends nothing, if the version before is still in flight.
        """
        if not all(handle.test() for handle in self._sending.get(channel, ())):
            return False
        self._sending[channel] = send(self._requests, 0, PushVersion(channel, version), pack(arrays))
        return True

    def pull(self, pull: Pull) -> tuple[PullReply, PackedArrays | None]:
        """Waits for the reply to a pull.

        Returns:
            The reply, and the packed parameters if the version is new to this client.

        Raises:
            CommunicationError: the server does not answer.
        """
        reply, packed = self._call(pull, None, f"version {pull.least} of {pull.channel.task}")
        assert isinstance(reply, PullReply)
        return reply, packed

    def push_for_average(self, push: PushForAverage, packed: PackedArrays) -> tuple[AverageReply, PackedArrays | None]:
        """Waits for the end of a round of averaging.

        Returns:
            The reply, and the packed average of the members if there is one.

        Raises:
            CommunicationError: the server does not answer.
        """
        reply, average = self._call(push, packed, f"the other members of merge {push.merge}")
        assert isinstance(reply, AverageReply)
        return reply, average

    @property
    def communicators(self) -> tuple[Communicator, ...]:
        """Communicators that end a wait in this client when they are revoked."""
        return self._requests, self._replies

    def close(self) -> None:
        """Tells the server that this rank sends nothing more."""
        if self._unanswered:  # its answer must not be left in flight
            next_message(self._replies, self._never, SECONDS_BETWEEN_WARNINGS)
        last = send(self._requests, 0, None)
        for handle in [*(handle for handles in self._sending.values() for handle in handles), *last]:
            handle.wait()

    def _call(
        self, request: ParameterRequest, packed: PackedArrays | None, awaited: str
    ) -> tuple[Any, PackedArrays | None]:
        started = time.monotonic()
        sending = send(self._requests, 0, request, packed)
        reply: Any = Ping()
        while isinstance(reply, Ping):
            message = next_message(self._replies, self._never, SECONDS_BETWEEN_WARNINGS)
            if message is None:
                _log.warning("waiting for %s since %.0f s", awaited, time.monotonic() - started)
                self._ping(awaited)
                continue
            reply, found = receive_content(self._replies, message.source, message.value)
            if isinstance(reply, Ping):
                self._unanswered = 0
        for handle in sending:
            handle.wait()
        return reply, found

    def _ping(self, awaited: str) -> None:
        """Sends one `Ping`, and counts the warnings until it is answered.

        Raises:
            CommunicationError: `PATIENCE` warnings have passed without an answer.
        """
        if not self._unanswered:
            send(self._requests, 0, Ping())
        self._unanswered += 1
        if self._unanswered > PATIENCE:
            raise CommunicationError(
                f"rank {self._requests.rank}: the parameter server on rank 0 did not answer for "
                f"{PATIENCE * SECONDS_BETWEEN_WARNINGS:.0f} s, while this rank waited for {awaited}: rank 0 is stuck "
                "or cannot be reached; see its log, and `hpcmtl status` for the ranks that send heartbeats"
            )


class ParameterServerThread(threading.Thread):
    """Runs the parameter server on rank 0 until every client is closed; an error in it ends the whole run.

    If a rank is lost it ends without a message to the clients: the control threads detect the loss as well.
    """

    def __init__(self, requests: Communicator, replies: Communicator, server: ParameterServer) -> None:
        super().__init__(name="parameter-server", daemon=True)
        self._requests, self._replies, self._server = requests, replies, server
        self._changes: queue.SimpleQueue[tuple[tuple[str, ...], dict[str, TaskStatus]]] = queue.SimpleQueue()
        self._wake, self._backoff = threading.Event(), Backoff()
        self._open = requests.size
        self._sending: list[SendHandle] = []

    def announce(self, running: Iterable[str], ended: Mapping[str, TaskStatus]) -> None:
        """Reports the running tasks and the final states of ended ones; any thread of rank 0 may call it."""
        self._changes.put((tuple(running), dict(ended)))
        self._wake.set()

    def run(self) -> None:
        """Serves requests until all clients are closed."""
        try:
            while self._open:
                self._serve_next()
            for handle in self._sending:
                handle.wait()
        except RankLostError as error:
            _log.debug("the parameter server ends: %s", error)
        except BaseException:  # noqa: BLE001 - after any error the other ranks would wait without end
            _log.exception("the parameter server on rank %d failed; the run is ended", self._requests.rank)
            self._requests.abort(ExitCode.TASK_FAILED)

    def _serve_next(self) -> None:
        self._wake.clear()
        while not self._changes.empty():
            self._reply(self._server.announce(*self._changes.get()))
        message = next_message(self._requests, self._wake, _POLL_SECONDS, backoff=self._backoff)
        if message is not None:
            request, packed = receive_content(self._requests, message.source, message.value)
            # A request follows from orders that were given before: changes by these orders are handled first.
            while not self._changes.empty():
                self._reply(self._server.announce(*self._changes.get()))
            if request is None:
                self._open -= 1
            elif isinstance(request, Ping):
                self._sending += send(self._replies, message.source, request)
            else:
                self._reply(self._server.handle(message.source, request, packed))
        self._sending = [handle for handle in self._sending if not handle.test()]

    def _reply(self, replies: Iterable[ParameterReply]) -> None:
        for rank, reply, packed in replies:
            self._sending += send(self._replies, rank, reply, packed)
