"""Makes an error of an exit by a user's code: a rank that leaves without a word takes the run with it.

Open MPI 5.0.11 notices a rank that was killed, but not one that ended by itself with another code than 0.
"""

from __future__ import annotations

import os
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from collections.abc import Iterator

_guarded = threading.local()  # has `process` while this thread runs code of a user's, the process that it is in
_plain_exit = os._exit


@contextmanager
def exits_raise() -> Iterator[None]:
    """Lets `os._exit` raise `SystemExit` in this thread, inside the block; child processes leave with it."""
    _guarded.process = os.getpid()
    try:
        yield
    finally:
        _guarded.process = None


def _exit(status: int) -> NoReturn:
    if getattr(_guarded, "process", None) == os.getpid():
        raise SystemExit(f"os._exit({status})")
    _plain_exit(status)


os._exit = _exit  # at the import, before users' modules take the function's name for themselves
