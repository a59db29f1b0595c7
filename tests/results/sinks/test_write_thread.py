"""The thread on which sinks write."""

import threading

from hpcmtl.results.sinks.write_thread import WriteThread


def test_it_writes_after_a_change_and_at_the_end():
    """A change is written without a further call, and the end writes once more, whatever the pause."""
    written, calls = threading.Semaphore(0), []

    def write():
        calls.append(threading.current_thread().name)
        written.release()

    thread = WriteThread("writer", write, 3600.0)
    assert not written.acquire(timeout=0.05)
    thread.note_change()
    assert written.acquire(timeout=30)
    thread.note_change()
    thread.close()

    assert calls == ["writer", "writer"]


def test_an_end_without_a_change_is_written():
    """A sink that was never told anything writes its last state when it is closed."""
    calls = []
    WriteThread("writer", lambda: calls.append(1), 3600.0).close()

    assert calls
