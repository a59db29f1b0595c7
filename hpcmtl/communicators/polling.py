"""Waits for the next message without occupying a core, as the control thread of a rank does nearly all the time."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from threading import Event

    from hpcmtl.communicators.base import Communicator, Envelope

SHORTEST_PAUSE = 0.0002
LONGEST_PAUSE = 0.005
# After a long silence pauses grow beyond the longest, up to this, as a part of the silence: a hundredth of a second
# adds little to a second of waiting.
_FAR_PAUSE = 0.02
_PART_OF_SILENCE = 0.01


@dataclass(frozen=True)
class Message:
    """A value that has arrived, with the rank it came from, its tag, and the communicator that brought it."""

    source: int
    tag: int
    value: Any
    comm: Communicator


class Backoff:
    """The growing pauses between looks for messages, kept from call to call of `next_message`.

    Each look costs about 0.1 ms of a core beside a training thread. A caller that started with short pauses again every
    50 ms would look twice as often.
    """

    def __init__(self) -> None:
        self.end()

    def end(self) -> None:
        """Returns to short pauses: a message has come, or is about to."""
        self._since, self._pause = time.monotonic(), SHORTEST_PAUSE

    def pause(self, longest: float) -> float:
        """Returns the seconds until the next look: twice the last pause, and at most `longest` until a long silence."""
        far = min(_PART_OF_SILENCE * (time.monotonic() - self._since), _FAR_PAUSE)
        pause = min(self._pause, max(longest, far))
        self._pause = 2 * pause
        return pause


def next_message(
    comm: Communicator,
    stop: Event,
    timeout: float,
    also: Communicator | None = None,
    *,
    longest: float = LONGEST_PAUSE,
    backoff: Backoff | None = None,
) -> Message | None:
    """Returns the next message from any rank; None once `stop` is set or `timeout` seconds have passed.

    A message that has arrived already is returned even then. Only one thread may receive on `comm`.

    This polls, since MPI has no wait that sleeps: its blocking calls spin on a core that the training thread needs. The
    pause between two looks doubles from 0.2 ms to the `longest`, so that an exchange of several messages is quick and
    an idle wait costs little: at 5 ms about 2 % of a core.

    Args:
        comm: communicator to look at first.
        stop: ends a pause at once.
        timeout: seconds.
        also: communicator to look at as well, after the first.
        longest: longest pause in seconds.
        backoff: keeps the pause from one call to the next; by default each call starts with short pauses.
    """
    end = time.monotonic() + timeout
    backoff = backoff or Backoff()
    while (found := _envelope(comm, also)) is None:
        left = end - time.monotonic()
        if left <= 0:
            return None
        if stop.wait(min(backoff.pause(longest), left)):
            backoff.end()
            return None
    backoff.end()
    where, envelope = found
    return Message(envelope.source, envelope.tag, where.recv(envelope.source, envelope.tag), where)


def _envelope(*comms: Communicator | None) -> tuple[Communicator, Envelope] | None:
    for comm in comms:
        if comm is not None and (envelope := comm.iprobe()) is not None:
            return comm, envelope
    return None
