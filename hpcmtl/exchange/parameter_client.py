"""The office at work: a thread on rank 0 that serves it, and what the main thread of every rank says to it.

Requests travel on one duplicate of the world and replies on another, so that rank 0 can ask itself. Arrays travel as
buffers. There is at most one version of a task under way to the office: a producer never waits for its readers.

How long one task waits for another is for the dispatcher to judge, who sees both. What bounds a wait here is that the
office answers: who has waited for a while asks it for a sign of life.
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
from hpcmtl.exchange.packed_arrays import PackedArrays, opened, pack, send
from hpcmtl.exchange.parameter_server import AverageReply, Pull, PullReply, PushForAverage, PushVersion

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    import numpy as np

    from hpcmtl.communicators.base import Communicator, SendHandle
    from hpcmtl.exchange.parameter_server import ParameterReply, ParameterRequest, ParameterServer, VersionChannel
    from hpcmtl.results.outcome.summary import TaskStatus

_log = logging.getLogger(__name__)

_LOOK_ROUND_SECONDS = 0.05
# Who waits for another task says so this often; that the other is silent, the dispatcher sees for itself.
SECONDS_BETWEEN_WARNINGS = 60.0
# Warnings without a sign of life from the office, after which it counts as lost; not seconds, as who was himself
# stopped for an hour has not waited that long.
PATIENCE = 5


@dataclass(frozen=True)
class Ping:
    """The question whether the office works, and the answer that it does."""


class ParameterClient:
    """What one rank says to the office; for its main thread alone."""

    def __init__(self, requests: Communicator, replies: Communicator) -> None:
        self._requests, self._replies = requests, replies
        self._sending: dict[VersionChannel, list[SendHandle]] = {}
        self._never = threading.Event()
        self._unanswered = 0  # warnings since the office was asked for a sign of life; 0 where it has answered

    def publish(self, channel: VersionChannel, version: int, arrays: Mapping[str, np.ndarray[Any, Any]]) -> bool:
        """Start to send a version, unless the one before is still under way; say which. The arrays are copied."""
        if not all(handle.test() for handle in self._sending.get(channel, ())):
            return False
        self._sending[channel] = send(self._requests, 0, PushVersion(channel, version), pack(arrays))
        return True

    def ask(self, ask: Pull) -> tuple[PullReply, PackedArrays | None]:
        """Wait for the reply to a pull; it has the parameters if the version is new to this client.

        Raises:
            CommunicationError: the office gives no sign of life.
        """
        reply, packed = self._call(ask, None, f"version {ask.least} of {ask.channel.task}")
        assert isinstance(reply, PullReply)
        return reply, packed

    def contribute(
        self, contribution: PushForAverage, packed: PackedArrays
    ) -> tuple[AverageReply, PackedArrays | None]:
        """Wait for the end of a round of merging; the parcel is what its members have together.

        Raises:
            CommunicationError: the office gives no sign of life.
        """
        reply, merged = self._call(contribution, packed, f"the other members of merge {contribution.merge}")
        assert isinstance(reply, AverageReply)
        return reply, merged

    @property
    def communicators(self) -> tuple[Communicator, ...]:
        """Where who waits here is told so, and gives up, if they are revoked."""
        return self._requests, self._replies

    def close(self) -> None:
        """Tell the office that nothing more comes from this rank."""
        if self._unanswered:  # its answer must not be left under way
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
                self._doubt(awaited)
                continue
            reply, found = opened(self._replies, message.source, message.value)
            if isinstance(reply, Ping):
                self._unanswered = 0
        for handle in sending:
            handle.wait()
        return reply, found

    def _doubt(self, awaited: str) -> None:
        """Ask the server whether it works, once; it is lost if it does not say so."""
        if not self._unanswered:
            send(self._requests, 0, Ping())
        self._unanswered += 1
        if self._unanswered > PATIENCE:
            raise CommunicationError(
                f"rank {self._requests.rank}: the office on rank 0 gave no sign of life for "
                f"{PATIENCE * SECONDS_BETWEEN_WARNINGS:.0f} s, while this rank waited for {awaited}: rank 0 is stuck "
                "or cannot be reached; its log may say why, and `hpcmtl status` which ranks are still heard of"
            )


class ParameterServerThread(threading.Thread):
    """Serves the office on rank 0 until every rank has closed its post; an error in it ends the whole run.

    If a rank is lost it closes without a word: the control threads hear of it as well.
    """

    def __init__(self, requests: Communicator, replies: Communicator, server: ParameterServer) -> None:
        super().__init__(name="office", daemon=True)
        self._requests, self._replies, self._server = requests, replies, server
        self._news: queue.SimpleQueue[tuple[tuple[str, ...], dict[str, TaskStatus]]] = queue.SimpleQueue()
        self._wake, self._backoff = threading.Event(), Backoff()
        self._open = requests.size
        self._sending: list[SendHandle] = []

    def announce(self, running: Iterable[str], ended: Mapping[str, TaskStatus]) -> None:
        """Tell which tasks run now, and which have ended how; from any thread of rank 0."""
        self._news.put((tuple(running), dict(ended)))
        self._wake.set()

    def run(self) -> None:
        """Serve."""
        try:
            while self._open:
                self._turn()
            for handle in self._sending:
                handle.wait()
        except RankLostError as error:
            _log.debug("the office closes: %s", error)
        except BaseException:  # noqa: BLE001 - whatever it is, the other ranks would wait for ever
            _log.exception("the office on rank %d failed; the run is ended", self._requests.rank)
            self._requests.abort(ExitCode.TASK_FAILED)

    def _turn(self) -> None:
        self._wake.clear()
        while not self._news.empty():
            self._reply(self._server.announce(*self._news.get()))
        message = next_message(self._requests, self._wake, _LOOK_ROUND_SECONDS, backoff=self._backoff)
        if message is not None:
            request, packed = opened(self._requests, message.source, message.value)
            # What a rank says follows from orders that were given before: news of these come first.
            while not self._news.empty():
                self._reply(self._server.announce(*self._news.get()))
            if request is None:
                self._open -= 1
            elif isinstance(request, Ping):
                self._sending += send(self._replies, message.source, request)
            else:
                self._reply(self._server.take(message.source, request, packed))
        self._sending = [handle for handle in self._sending if not handle.test()]

    def _reply(self, replies: Iterable[ParameterReply]) -> None:
        for rank, reply, packed in replies:
            self._sending += send(self._replies, rank, reply, packed)
