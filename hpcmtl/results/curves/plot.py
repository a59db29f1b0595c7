"""Line plots of Unicode characters: braille patterns have two by four dots in a character."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

_EMPTY = 0x2800
_DOTS = ((0x01, 0x08), (0x02, 0x10), (0x04, 0x20), (0x40, 0x80))  # by row and column in a character
_ROWS, _COLUMNS = 4, 2


def plotted(xs: Sequence[float], ys: Sequence[float], width: int, height: int) -> list[str]:
    """Returns a line plot through some points, as lines of characters from the top down.

    The axes go from the smallest to the largest value. Values that are not finite are gaps.

    Args:
        xs: positions, ascending.
        ys: a value at each.
        width: characters of a line, 1 or more.
        height: number of lines, 1 or more.
    """
    known = [(x, y) for x, y in zip(xs, ys, strict=True) if math.isfinite(y)]
    cells = [[_EMPTY] * width for _ in range(height)]
    if known:
        low, high = min(y for _, y in known), max(y for _, y in known)
        places = [
            (_scaled(x, known[0][0], known[-1][0], width * _COLUMNS), _scaled(y, high, low, height * _ROWS))
            for x, y in known
        ]
        for before, place in zip([places[0], *places], places, strict=False):
            for column, row in _line(before, place):
                cells[row // _ROWS][column // _COLUMNS] |= _DOTS[row % _ROWS][column % _COLUMNS]
    return ["".join(map(chr, line)) for line in cells]


def _scaled(value: float, first: float, last: float, count: int) -> int:
    """Returns the number of a dot, 0 at `first` and ``count - 1`` at `last`; the middle if both are equal."""
    if first == last:
        return (count - 1) // 2
    share = (value / 2 - first / 2) / (last / 2 - first / 2)  # halves: the span of two large numbers may overflow
    return round(share * (count - 1))


def _line(first: tuple[int, int], last: tuple[int, int]) -> list[tuple[int, int]]:
    """Returns the dots of a straight line, both ends included."""
    count = max(abs(last[0] - first[0]), abs(last[1] - first[1]), 1)
    return [
        (round(first[0] + (last[0] - first[0]) * at / count), round(first[1] + (last[1] - first[1]) * at / count))
        for at in range(count + 1)
    ]
