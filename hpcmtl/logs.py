"""Logging: one file per rank with time, rank, task and layer in each line; rank 0 also logs to stderr."""

from __future__ import annotations

import logging
import re
import sys
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

# Control characters but tab and line feed, directions of writing, and halves of surrogate pairs.
_HARMFUL = re.compile(
    r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]|\r(?!\n)"
)
_LAYER: ContextVar[str] = ContextVar("layer", default="-")


def harmless(text: str) -> str:
    """Returns a text of others in a form that a terminal shows and does not obey, and that every encoding can hold.

    An error message may have the colours of a compiler, or bytes of a file that is no text.
    """
    if text.isprintable():  # none of the harmful characters is
        return text
    return _HARMFUL.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


class _Formatter(logging.Formatter):
    """Formats a record, the traceback included, with harmless characters alone."""

    def format(self, record: logging.LogRecord) -> str:
        return harmless(super().format(record))


class _Context(logging.Filter):
    """Adds the rank and the current task layer to every record."""

    def __init__(self, rank: int) -> None:
        super().__init__()
        self.rank = rank

    def filter(self, record: logging.LogRecord) -> bool:
        record.rank = self.rank
        record.layer = _LAYER.get()
        return True


class _StderrHandler(logging.StreamHandler[TextIO]):
    """Writes to the current `sys.stderr`, which the live display replaces while its bars are drawn."""

    def emit(self, record: logging.LogRecord) -> None:
        self.stream = sys.stderr
        super().emit(record)


def open_logs(rank: int, file: Path | None) -> None:
    """Sends the log of this process to `file`, and to stderr: from INFO on rank 0, from ERROR on other ranks.

    Args:
        rank: rank in the world, written in each line.
        file: log file of this rank; None for stderr alone.
    """
    root = logging.getLogger("hpcmtl")
    close_logs()
    logging.raiseExceptions = False  # else each line that finds no room on a full disk prints a traceback
    root.setLevel(logging.DEBUG)
    root.propagate = False
    to_stderr = _StderrHandler()
    to_stderr.setLevel(logging.INFO if rank == 0 else logging.ERROR)
    to_stderr.setFormatter(_Formatter("hpcmtl: %(message)s" if rank == 0 else "hpcmtl rank %(rank)d: %(message)s"))
    handlers: list[logging.Handler] = [to_stderr]
    if file is not None:
        to_file = logging.FileHandler(file, delay=True)
        to_file.setFormatter(
            _Formatter("%(asctime)s %(levelname)-7s rank=%(rank)d layer=%(layer)s %(name)s: %(message)s")
        )
        handlers.append(to_file)
    for handler in handlers:
        handler.addFilter(_Context(rank))
        root.addHandler(handler)


def close_logs() -> None:
    """Flushes and removes all handlers, so that the process can open the logs of another run."""
    root = logging.getLogger("hpcmtl")
    for handler in list(root.handlers):
        handler.close()
        root.removeHandler(handler)


@contextmanager
def layer_context(task: str, layer: int) -> Iterator[None]:
    """Marks every log line inside the context with a layer of a task."""
    token = _LAYER.set(f"{task}/{layer}")
    try:
        yield
    finally:
        _LAYER.reset(token)
