"""Waiting for the next message without burning a core: what the control thread of a rank does nearly all the time."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from threading import Event

    from hpcmtl.communicators.base import Communicator

SHORTEST_PAUSE = 0.0002
LONGEST_PAUSE = 0.005


@dataclass(frozen=True)
class Message:
    """A value that has arrived, with the rank it came from and its tag."""

    source: int
    tag: int
    value: Any


def next_message(comm: Communicator, stop: Event, timeout: float) -> Message | None:
    """Return the next message from any rank; None once `stop` is set or `timeout` seconds have passed.

    A message that is already there is returned even then. Only one thread may receive on `comm`.

    This polls, as MPI has no wait that sleeps: its blocking calls spin on a core that the training thread needs. The
    pause between two looks doubles from 0.2 ms to 5 ms, so that an exchange of several messages is quick and an idle
    wait costs about 3 % of a core; `stop` ends a pause at once.
    """
    end = time.monotonic() + timeout
    pause = SHORTEST_PAUSE
    while (envelope := comm.iprobe()) is None:
        left = end - time.monotonic()
        if left <= 0 or stop.wait(min(pause, left)):
            return None
        pause = min(2 * pause, LONGEST_PAUSE)
    value = comm.recv(envelope.source, envelope.tag)
    return Message(envelope.source, envelope.tag, value)
