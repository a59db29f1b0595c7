"""The points of a run as a table: a row for each point."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from hpcmtl.results.curves.series import values_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from hpcmtl.results.curves.point import TrainingPoint

HEADINGS = ("task", "step", "epoch", "ends_epoch", "time", "skipped_steps")
"""The first columns; the others have the names of series."""


def rows_of(curves: Mapping[str, Sequence[TrainingPoint]]) -> tuple[list[str], list[dict[str, Any]]]:
    """Returns the headings and the rows of a table of curves.

    Args:
        curves: points by task.

    Returns:
        All headings; and the rows by heading, without the headings of what a point does not have. Times are in UTC.
    """
    headings, rows = list(HEADINGS), []
    for task, points in curves.items():
        for point in points:
            measured = values_of(point)
            headings += [name for name in measured if name not in headings]
            time = datetime.fromtimestamp(point.at, timezone.utc).isoformat(timespec="milliseconds")
            first = (task, point.step, point.epoch, point.ends_epoch, time, point.skipped_steps)
            rows.append({**dict(zip(HEADINGS, first, strict=True)), **measured})
    return headings, rows
