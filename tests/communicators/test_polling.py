"""The pauses between looks for messages."""

from __future__ import annotations

import threading

import pytest

from hpcmtl.communicators import polling
from hpcmtl.communicators.inproc import run_ranks
from hpcmtl.communicators.polling import Backoff, next_message


class Clock:
    """A clock that goes on as it is told."""

    def __init__(self):
        self.now = 0.0

    def monotonic(self):
        """Seconds."""
        return self.now


def pauses(backoff, clock, seconds, longest):
    """The pauses of one who waits for so long."""
    found, end = [], clock.now + seconds
    while clock.now < end:
        found.append(backoff.pause(longest))
        clock.now += found[-1]
    return found


def test_pauses_grow_with_the_silence(monkeypatch):
    """They double up to the longest, grow to 20 ms as a hundredth of the silence, and begin anew when it ends."""
    monkeypatch.setattr(polling, "time", clock := Clock())
    backoff = Backoff()
    first, later = pauses(backoff, clock, 0.9, 0.01), pauses(backoff, clock, 5.0, 0.01)

    assert first[:8] == pytest.approx([0.0002, 0.0004, 0.0008, 0.0016, 0.0032, 0.0064, 0.01, 0.01])
    assert set(first[6:]) == {0.01}
    assert later == sorted(later)
    assert later[-1] == 0.02
    backoff.end()
    assert backoff.pause(0.01) == 0.0002


def test_a_silence_lasts_from_call_to_call(monkeypatch):
    """It ends with a message, or with the word that ends a pause, and not with the time of a call."""
    monkeypatch.setattr(polling, "time", clock := Clock())

    class Stop(threading.Event):
        def wait(self, seconds):
            clock.now += seconds
            return self.is_set()

    def on_rank(comm):
        backoff, stop, found = Backoff(), Stop(), []
        for _ in range(2):
            assert next_message(comm, stop, 0.1, backoff=backoff) is None
            found.append(backoff.pause(1.0))
        stop.set()
        assert next_message(comm, stop, 0.1, backoff=backoff) is None
        found.append(backoff.pause(1.0))
        backoff.pause(1.0)
        comm.isend("word", 0)
        assert next_message(comm, stop, 0.1, backoff=backoff).value == "word"
        return [*found, backoff.pause(1.0)]

    quiet, later, woken, told = run_ranks(1, on_rank)[0]

    assert later >= quiet > 0.005
    assert woken == told == 0.0002
