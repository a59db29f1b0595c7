"""Rank-seconds of a run by what they were spent on."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from hpcmtl.report.facts.values import TimeSpent
from hpcmtl.results import events

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from hpcmtl.report.facts.timeline import Timeline
    from hpcmtl.results.ledger import LedgerEntry


def time_spent(entries: Sequence[LedgerEntry], course: Timeline) -> TimeSpent:
    """Returns the rank-seconds of a run; their parts add up to the total.

    Args:
        entries: entries of the ledger.
        course: the course that follows from them.
    """
    overs = [event for event, _ in entries if isinstance(event, events.LayerOver)]
    busy = sum(piece.ranks * (piece.end - piece.start) for piece in course.pieces)
    steps = sum(_stepping(over) for over in overs)
    waits = [_number(over.facts["data_wait"]) * _stepping(over) for over in overs if "data_wait" in over.facts]
    held, size = _checkpoints(entries)
    wait = min(sum(waits), steps)
    held = min(held, steps - wait)
    total = max(course.rank_seconds, busy)
    return TimeSpent(
        total=total,
        train=steps - wait - held,
        wait=wait if waits else None,
        checkpoint=held,
        other=max(busy - steps, 0.0),
        idle=max(total - max(busy, steps), 0.0),
        bytes_from_memory=_sum(overs, "from_memory"),
        bytes_from_files=_sum(overs, "from_files"),
        checkpoint_bytes=size,
    )


def _stepping(over: events.LayerOver) -> float:
    return over.ranks * over.steps * over.step_seconds


def _checkpoints(entries: Sequence[LedgerEntry]) -> tuple[float, int]:
    """Returns the rank-seconds for which checkpoints held up groups, and the bytes of all checkpoints."""
    widths: dict[str, int] = {}
    held, size = 0.0, 0
    for event, _ in entries:
        if isinstance(event, events.LayerStarted):
            widths[event.task] = event.ranks
        elif isinstance(event, events.CheckpointWritten):
            held, size = held + widths.get(event.task, 1) * event.held, size + event.bytes
    return held, size


def _sum(overs: Iterable[events.LayerOver], fact: str) -> float | None:
    found = [_number(over.facts[fact]) for over in overs if fact in over.facts]
    return sum(found) if found else None


def _number(value: object) -> float:
    """Returns a fact as a number; 0 for what is none."""
    return float(value) if isinstance(value, int | float) and math.isfinite(value) else 0.0
