"""Signals ask for a stop: the handler only notes the name, and the ranks agree on the moment of the stop."""

from __future__ import annotations

import os
import signal
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from hpcmtl.dispatch.rank.channels import ThreadChannels

_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1, signal.SIGUSR2)
# mpirun kills its ranks on SIGTERM, so that the launchers pass it on as SIGUSR2.
_MEANT = {signal.SIGUSR2: signal.SIGTERM}


@contextmanager
def signals_to(channels: ThreadChannels) -> Iterator[None]:
    """Notes the name of a signal in the channels, where the control thread finds it within a tenth of a second.

    The handler must not wake that thread. `Event.set` takes a lock, and a signal may come while the main thread, on
    which handlers run, holds that lock to report a layer: both threads then waited for ever. A main thread in native
    code runs no handler at all: the number of each signal also goes into a pipe, which the control thread reads.
    """

    def note(number: int, _frame: object) -> None:
        channels.note_signal(name_of(number))

    with handled_by(note, _SIGNALS), _pipe_to(channels):
        yield


def name_of(number: int) -> str:
    """Returns the name of a signal, or of the one that it stands for."""
    received = signal.Signals(number)
    return _MEANT.get(received, received).name


@contextmanager
def _pipe_to(channels: ThreadChannels) -> Iterator[None]:
    """Has the interpreter write the numbers of signals into a pipe of the channels, in the main thread alone."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    reads, writes = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    before = signal.set_wakeup_fd(writes, warn_on_full_buffer=False)
    channels.signals = lambda: [name_of(number) for number in _read(reads) if number in _SIGNALS]
    try:
        yield
    finally:
        signal.set_wakeup_fd(before)
        channels.signals = list
        os.close(reads)
        os.close(writes)


def _read(descriptor: int) -> bytes:
    try:
        return os.read(descriptor, 64)
    except BlockingIOError:
        return b""


@contextmanager
def handled_by(handler: Callable[[int, object], None], numbers: Iterable[int]) -> Iterator[None]:
    """Handles some signals by a handler, and restores the former handlers at the end.

    Python lets the main thread alone set handlers: in another thread of the user's program signals keep their handlers.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, handler) for number in numbers}
    try:
        yield
    finally:
        for number, earlier in before.items():
            signal.signal(number, earlier)
