"""Points that are sent again, as a task that goes on from a checkpoint does with its newest ones."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from hpcmtl.results.curves.point import TrainingPoint

_REMEMBERED = 500  # points of a task


class SentPoints:
    """The newest points of each task; one that comes again with the same losses is known."""

    def __init__(self) -> None:
        self._newest: dict[str, deque[tuple[int, bool, dict[str, float], dict[str, float | None]]]] = {}

    def new(self, task: str, points: Iterable[TrainingPoint]) -> list[TrainingPoint]:
        """Returns those points of a task that are not known, in order, and remembers them.

        A new point takes the place of all that lie behind it, for readers of curves: those are not known any more.
        """
        known, found = self._newest.setdefault(task, deque(maxlen=_REMEMBERED)), []
        for point in points:
            key = (point.step, point.ends_epoch, dict(point.losses), dict(point.metrics))
            if key not in known:
                while known and known[-1][:2] >= key[:2]:
                    known.pop()
                known.append(key)
                found.append(point)
        return found
