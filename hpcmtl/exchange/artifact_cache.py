"""Keeps the artifact rows that one rank made in memory, for the ranks that need them, up to a number of bytes."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np

    from hpcmtl.exchange.redistribute import ArrayRows


@dataclass
class _CachedArtifact:
    """Rows of one artifact by the name of the array, each with its version."""

    rows: dict[str, list[tuple[int, ArrayRows]]] = field(default_factory=dict)

    @property
    def size(self) -> int:
        """Size of all rows in bytes."""
        return sum(rows.array.nbytes for pieces in self.rows.values() for _, rows in pieces)


class ArtifactCache:
    """Cache of one rank: its main thread fills and reads it, its control thread reads it for other ranks.

    Without room for new rows the oldest artifact is dropped. Its sealed file is read from then on.
    """

    def __init__(self, limit: int) -> None:
        """Makes an empty cache.

        Args:
            limit: largest number of bytes in the cache.
        """
        self.limit = limit
        self._kept: dict[str, _CachedArtifact] = {}
        self._lock = threading.Lock()

    def put(self, task: str, version: int, pieces: Mapping[str, ArrayRows]) -> None:
        """Adds rows of a task's artifact; the arrays must not change afterwards.

        Cached rows of the same positions are dropped, of any version. If the artifact alone exceeds the limit, nothing
        of it is kept.
        """
        size = sum(rows.array.nbytes for rows in pieces.values())
        with self._lock:
            kept = self._kept.get(task, _CachedArtifact())
            for name, rows in pieces.items():
                kept.rows[name] = [piece for piece in kept.rows.get(name, []) if not _overlap(piece[1], rows)]
            if kept.size + size > self.limit:
                self._kept.pop(task, None)
                return
            while size + sum(each.size for each in self._kept.values()) > self.limit:
                oldest = next(name for name in self._kept if name != task)
                del self._kept[oldest]
            self._kept[task] = kept
            for name, rows in pieces.items():
                kept.rows[name].append((version, rows))

    def spans(self, task: str, name: str) -> list[tuple[int, int, int]]:
        """Returns the cached row spans of an array: first row, row after the last, version."""
        with self._lock:
            return [(rows.start, rows.stop, version) for version, rows in self._pieces(task, name)]

    def take(self, task: str, version: int, name: str, span: tuple[int, int]) -> np.ndarray[Any, Any] | None:
        """Returns rows of an array as a view that must not be changed; None if they are not in the cache."""
        start, stop = span
        with self._lock:
            for made, rows in self._pieces(task, name):
                if made == version and rows.start <= start and stop <= rows.stop:
                    return rows.array[start - rows.start : stop - rows.start]
        return None

    def _pieces(self, task: str, name: str) -> list[tuple[int, ArrayRows]]:
        kept = self._kept.get(task)
        return [] if kept is None else kept.rows.get(name, [])


def _overlap(one: ArrayRows, other: ArrayRows) -> bool:
    return max(one.start, other.start) < min(one.stop, other.stop)
