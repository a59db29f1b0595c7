"""An artifact that a rank keeps is found again, up to a limit, beyond which the oldest goes first."""

from __future__ import annotations

import numpy as np

from hpcmtl.exchange.artifact_cache import ArtifactCache
from hpcmtl.exchange.redistribute import ArrayRows


def rows(start: int, count: int) -> ArrayRows:
    """Rows of one byte whose values are their numbers."""
    return ArrayRows(start, np.arange(start, start + count).astype(np.uint8))


def test_rows_are_found_by_their_numbers():
    """A span that lies in one piece is there; one that leaves it, or of another array, task or version, is not."""
    cache = ArtifactCache(100)
    cache.put("a", 1, {"x": rows(0, 10), "y": rows(3, 4)})
    cache.put("a", 1, {"x": rows(20, 10)})

    assert cache.spans("a", "x") == [(0, 10, 1), (20, 30, 1)]
    assert cache.take("a", 1, "x", (22, 25)).tolist() == [22, 23, 24]
    assert cache.take("a", 1, "x", (0, 0)).tolist() == []
    for task, version, name, span in [("a", 1, "x", (5, 15)), ("a", 2, "x", (0, 5)), ("b", 1, "x", (0, 5))]:
        assert cache.take(task, version, name, span) is None


def test_what_is_made_again_replaces():
    """Rows of the same places take the place of the old ones, of whatever version; those of other places stay."""
    cache = ArtifactCache(100)
    cache.put("a", 1, {"x": rows(0, 10), "y": rows(0, 10)})
    cache.put("a", 1, {"x": ArrayRows(0, np.full(5, 9, np.uint8))})

    assert cache.take("a", 1, "x", (0, 5)).tolist() == [9] * 5
    assert cache.spans("a", "x") == [(0, 5, 1)]
    cache.put("a", 2, {"x": rows(5, 10), "y": rows(9, 2)})
    assert cache.spans("a", "x") == [(0, 5, 1), (5, 15, 2)]
    assert cache.spans("a", "y") == [(9, 11, 2)]
    assert cache.take("a", 1, "x", (5, 7)) is None


def test_the_oldest_goes_first():
    """When there is no room for more, whole artifacts go, the oldest first."""
    cache = ArtifactCache(30)
    for task in "abc":
        cache.put(task, 0, {"x": rows(0, 10)})
    cache.put("d", 0, {"x": rows(0, 15)})

    assert [task for task in "abcd" if cache.spans(task, "x")] == ["c", "d"]


def test_what_is_too_large_is_not_kept():
    """An artifact that grows beyond the limit by itself goes, and the others stay."""
    cache = ArtifactCache(30)
    cache.put("a", 0, {"x": rows(0, 10)})
    cache.put("b", 0, {"x": rows(0, 20)})
    cache.put("b", 0, {"x": rows(20, 20)})
    cache.put("c", 0, {"x": rows(0, 31)})

    assert [task for task in "abc" if cache.spans(task, "x")] == ["a"]
    ArtifactCache(0).put("a", 0, {"x": rows(0, 1)})
