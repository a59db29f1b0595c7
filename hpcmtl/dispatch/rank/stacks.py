"""Stacks of the threads of this process, for a rank that does not come out of a layer."""

from __future__ import annotations

import sys
import threading
import traceback


def stacks() -> str:
    """Returns the stacks of all threads of this process, the innermost call last, as a text of several lines."""
    names = {thread.ident: thread.name for thread in threading.enumerate()}
    parts = []
    for ident, frame in sys._current_frames().items():  # noqa: SLF001 - the documented way to other threads' frames
        calls = "".join(traceback.format_stack(frame)).rstrip()
        parts.append(f"thread {names.get(ident, ident)}:\n{calls}")
    return "\n".join(parts)


def place_of_main_thread() -> str:
    """Returns the file, line and function in which the main thread is, such as ``mpi.py:150 in Allreduce``."""
    frame = sys._current_frames().get(threading.main_thread().ident or 0)  # noqa: SLF001 - as above
    if frame is None:
        return "an unknown place"
    call = traceback.extract_stack(frame, limit=1)[-1]
    return f"{call.filename.rpartition('/')[-1]}:{call.lineno} in {call.name}"
