"""Writes every event to the ledger of the run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hpcmtl.results.ledger import Ledger
from hpcmtl.results.sinks.base import IgnoringSink

if TYPE_CHECKING:
    from pathlib import Path

    from hpcmtl.results.events import RunEvent


class LedgerWriter(IgnoringSink):
    """A `Sink` that appends each event to a ledger and returns when it is on disk.

    Raises:
        InputError: the file exists and is damaged, or another process has it open.
    """

    def __init__(self, path: Path) -> None:
        self._ledger = Ledger(path)

    def on_event(self, event: RunEvent, at: float) -> None:
        """Appends the event.

        Raises:
            OSError: the event could not be written; the ledger is then as it was before.
        """
        self._ledger.append(event, at)

    def close(self) -> None:
        """See `Sink`."""
        self._ledger.close()
