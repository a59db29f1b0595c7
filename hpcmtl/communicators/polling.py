"""Waiting for the next message without burning a core: what the control thread of a rank does nearly all the time."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from threading import Event

    from hpcmtl.communicators.base import Communicator, Envelope

SHORTEST_PAUSE = 0.0002
LONGEST_PAUSE = 0.005
# After a long silence pauses grow beyond the longest, up to this, as a part of the silence: who has waited for a second
# does not mind a hundredth of it.
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
    """How long nothing has come, for one who waits in several calls: the pauses go on growing from call to call.

    Each look costs some 0.1 ms of a core beside a training thread, so who begins anew every 50 ms looks twice as often.
    """

    def __init__(self) -> None:
        self.end()

    def end(self) -> None:
        """Something has come, or is about to: look often again."""
        self._since, self._pause = time.monotonic(), SHORTEST_PAUSE

    def pause(self, longest: float) -> float:
        """Seconds until the next look: twice those of the last, and not above the `longest` before it is quiet."""
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
    """Return the next message from any rank; None once `stop` is set or `timeout` seconds have passed.

    With `also`, what comes on that communicator is looked for as well, after what comes on the first.

    A message that is already there is returned even then. Only one thread may receive on `comm`.

    This polls, as MPI has no wait that sleeps: its blocking calls spin on a core that the training thread needs. The
    pause between two looks doubles from 0.2 ms to the `longest`, so that an exchange of several messages is quick and
    an idle wait costs little: at 5 ms about 2 % of a core. `stop` ends a pause at once. A `backoff` keeps the pause
    from one call to the next.
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
