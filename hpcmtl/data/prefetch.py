"""Bounded prefetching in one thread."""

from __future__ import annotations

import threading
import time
from collections import deque
from contextlib import closing
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from types import TracebackType

    from typing_extensions import Self

Item = TypeVar("Item")
MOST_AHEAD, BYTES_AHEAD = 8, 64 << 20
"""Limits of what is kept ready: number of items, and their bytes."""

if TYPE_CHECKING:
    Producer = Callable[[Callable[[], None]], Generator[Item, None, None]]


class CancelledError(Exception):
    """Ends a long read of the producer after the consumer has closed; it never leaves the producer."""


def items_ahead(item_bytes: int) -> int:
    """Returns how many items of a size are kept ready: as many as fit into `BYTES_AHEAD`, at least one."""
    return max(1, min(MOST_AHEAD, BYTES_AHEAD // max(item_bytes, 1)))


class Prefetched(Generic[Item]):
    """Iterates over the items that a producer yields in its own thread; a context manager that ends the thread.

    An exception of the producer is raised in the consumer, at its place among the items.

    Attributes:
        waited_seconds: total time that the consumer waited for items, including the first.
    """

    def __init__(self, produce: Producer[Item], depth: int = MOST_AHEAD) -> None:
        """Starts the thread.

        Args:
            produce: factory of the generator, called inside the thread. Its argument is a function to call during long
                work, which raises `CancelledError` once the consumer has closed.
            depth: maximum number of items kept ready.
        """
        self.waited_seconds = 0.0
        self._ready: deque[Item] = deque()
        self._depth = depth
        self._changed = threading.Condition()
        self._closed = False
        self._ended = False
        self._error: BaseException | None = None
        # Daemon: a consumer that dies without closing must not keep the process alive.
        self._thread = threading.Thread(target=self._run, args=(produce,), name="prefetch", daemon=True)
        self._thread.start()

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Item:
        start = time.perf_counter()
        with self._changed:
            self._changed.wait_for(lambda: self._ready or self._ended or self._closed)
            self.waited_seconds += time.perf_counter() - start
            if self._ready:
                item = self._ready.popleft()
                # If ranks share cores, a woken thread takes the core from its waker. The producer is therefore woken
                # for half of the items at a time, not for each item.
                if len(self._ready) <= self._depth // 2:
                    self._changed.notify_all()
                return item
            if self._error is not None:
                raise self._error
            raise StopIteration

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Drops the ready items and ends the thread; idempotent."""
        with self._changed:
            self._closed = True
            self._ready.clear()
            self._changed.notify_all()
        self._thread.join()

    def _run(self, produce: Producer[Item]) -> None:
        error: BaseException | None = None
        try:
            # Closed here, not by the garbage collector: the producer holds files open.
            with closing(produce(self._check_open)) as items:
                for item in items:
                    self._put(item)
        except CancelledError:
            pass  # the consumer closed, so no error is reported
        except BaseException as raised:  # noqa: BLE001  # the consumer raises it
            error = raised
        with self._changed:
            self._error, self._ended = error, True
            self._changed.notify_all()

    def _put(self, item: Item) -> None:
        with self._changed:
            self._changed.wait_for(lambda: len(self._ready) < self._depth or self._closed)
            self._check_open()
            self._ready.append(item)
            if len(self._ready) == 1:  # the consumer waits only if there was no item
                self._changed.notify_all()

    def _check_open(self) -> None:
        if self._closed:
            raise CancelledError
