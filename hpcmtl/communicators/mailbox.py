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


@dataclass(frozen=True)
class Message:
    """A value that has arrived, with the rank it came from, its tag, and the communicator that brought it."""

    source: int
    tag: int
    value: Any
    comm: Communicator


def next_message(
    comm: Communicator,
    stop: Event,
    timeout: float,
    also: Communicator | None = None,
    *,
    longest: float = LONGEST_PAUSE,
) -> Message | None:
    """Return the next message from any rank; None once `stop` is set or `timeout` seconds have passed.

    With `also`, what comes on that communicator is looked for as well, after what comes on the first.

    A message that is already there is returned even then. Only one thread may receive on `comm`.

    This polls, as MPI has no wait that sleeps: its blocking calls spin on a core that the training thread needs. The
    pause between two looks doubles from 0.2 ms to the `longest`, so that an exchange of several messages is quick and
    an idle wait costs little: at 5 ms about 2 % of a core. `stop` ends a pause at once.
    """
    end = time.monotonic() + timeout
    pause = SHORTEST_PAUSE
    while (found := _envelope(comm, also)) is None:
        left = end - time.monotonic()
        if left <= 0 or stop.wait(min(pause, left)):
            return None
        pause = min(2 * pause, longest)
    where, envelope = found
    return Message(envelope.source, envelope.tag, where.recv(envelope.source, envelope.tag), where)


def _envelope(*comms: Communicator | None) -> tuple[Communicator, Envelope] | None:
    for comm in comms:
        if comm is not None and (envelope := comm.iprobe()) is not None:
            return comm, envelope
    return None
