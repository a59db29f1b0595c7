"""A thread that writes after something has changed, so that the caller never waits for a disk."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


class WriteThread:
    """Calls a function on a thread of its own, soon after each change and once at the end."""

    def __init__(self, name: str, write: Callable[[], None], pause: float, share: float = 1.0) -> None:
        """Starts the thread.

        Args:
            name: name of the thread.
            write: function to call.
            pause: smallest number of seconds between two calls.
            share: largest share of the thread's time that the calls take.
        """
        self._write, self._pause, self._share = write, pause, share
        self._changed, self._closed = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def note_change(self) -> None:
        """Notes that there is something to write; any thread may call it."""
        self._changed.set()

    def close(self) -> None:
        """Ends the thread after a last call."""
        self._closed.set()
        self._changed.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._closed.is_set():
            self._changed.wait()
            self._changed.clear()
            began = time.monotonic()
            self._write()
            took = time.monotonic() - began
            self._closed.wait(max(self._pause, took / self._share))
        self._write()
