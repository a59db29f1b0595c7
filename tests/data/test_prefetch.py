"""Tests of hpcmtl.data.prefetch."""

from __future__ import annotations

import itertools
import threading

import pytest

from hpcmtl.data.prefetch import BYTES_AHEAD, CancelledError, Prefetched, items_ahead


def test_items_arrive_in_order():
    """All items of the producer, then the end."""
    with Prefetched(lambda check: (n for n in range(100))) as items:
        assert list(range(100)) == list(items)
        assert list(items) == []


def test_exception_is_raised_in_its_place_and_again():
    """Items made before the failure are delivered; the failure is raised after them, each time."""

    def fail(check):
        yield 1
        raise RuntimeError("wide: block 7")

    with Prefetched(fail) as items:
        assert next(items) == 1
        for _ in range(2):
            with pytest.raises(RuntimeError, match="wide: block 7"):
                next(items)


def test_the_thread_works_ahead_only_so_far():
    """With depth 2 the producer has made at most the third item while nothing was taken."""
    made = []
    third = threading.Event()

    def count(check):
        for n in itertools.count():
            made.append(n)
            if n == 2:
                third.set()
            yield n

    with Prefetched(count, depth=2) as items:
        assert third.wait(30)
        assert next(items) == 0
    assert len(made) <= 4


@pytest.mark.parametrize(
    ("size", "items"), [(0, 8), (1, 8), (BYTES_AHEAD // 8, 8), (BYTES_AHEAD // 3, 3), (BYTES_AHEAD * 2, 1)]
)
def test_items_ahead_are_bounded_in_bytes(size, items):
    """Eight items are kept ready, or as many as 64 MiB hold, and always one."""
    assert items_ahead(size) == items


def test_closing_ends_a_producer_that_waits_for_room():
    """A consumer that leaves early leaves no thread, and the producer's files are closed."""
    left = threading.Event()

    def endless(check):
        try:
            yield from itertools.count()
        finally:
            left.set()

    with Prefetched(endless) as items:
        next(items)
    assert left.is_set()
    assert not items._thread.is_alive()
    items.close()


def test_closing_ends_a_long_read():
    """A producer in the middle of an item stops at its next check."""
    started = threading.Event()
    stopped = []

    def read_for_ever(check):
        started.set()
        try:
            while True:
                check()
        except CancelledError:
            stopped.append(True)
            raise
        yield

    with Prefetched(read_for_ever) as items:
        assert started.wait(30)
    assert stopped == [True]
    assert not items._thread.is_alive()


def test_waiting_is_counted():
    """Time that the consumer stood still is reported, so that slow data can be seen."""
    go = threading.Event()

    def slow(check):
        yield 1
        go.wait(30)
        yield 2

    with Prefetched(slow) as items:
        next(items)
        before = items.waited_seconds
        threading.Timer(0.05, go.set).start()
        next(items)

        assert items.waited_seconds > before >= 0
