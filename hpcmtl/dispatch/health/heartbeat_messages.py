"""Messages of heartbeats between ranks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hpcmtl.results.heartbeat import Heartbeat


@dataclass(frozen=True)
class Heartbeats:
    """Heartbeats of some ranks of one node, as one message.

    Attributes:
        heartbeats: the heartbeats.
        last: whether these are the last ones of the sender.
    """

    heartbeats: tuple[Heartbeat, ...]
    last: bool = False
