"""Tasks of a plan that may not end within a time limit."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from hpcmtl.errors import InputError, Problem

if TYPE_CHECKING:
    from hpcmtl.layerplan.plan import LayerPlan, PlannedTask

UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


def parse_duration(text: str) -> float:
    """Returns the seconds of ``90``, ``90s``, ``45m``, ``1.5h``, ``1h30m``, ``1d`` or Slurm's ``[D-]H:MM:SS``.

    Raises:
        InputError: the text has none of these forms, or is not positive.
    """
    seconds = _parse(text.strip().lower())
    if seconds is None or seconds <= 0:
        raise InputError(
            [Problem("--time-limit", f"{text!r} is no time: write 90s, 45m, 1h30m, 2-00:00:00 or the like")]
        )
    return seconds


def cut_off(plan: LayerPlan, limit: float) -> tuple[PlannedTask, ...]:
    """Returns the tasks that may end after `limit` seconds if all take their P90 time, by planned end."""
    late = [task for task in plan.tasks if task.late_end > limit]
    return tuple(sorted(late, key=lambda task: (task.end, task.name)))


def limit_lines(plan: LayerPlan, limit: float) -> tuple[str, ...]:
    """Returns lines that tell whether a plan fits a time limit, and which tasks do not."""
    late = cut_off(plan, limit)
    if not late:
        latest = max(task.late_end for task in plan.tasks)
        return (f"time limit  {limit:.0f} s: everything ends in time, by {latest:.0f} s even if all is late (P90)",)
    lines = [f"time limit  {limit:.0f} s: {len(late)} of {len(plan.tasks)} tasks may not end in time"]
    for task in late:
        what = "does not fit" if task.end > limit else f"fits unless all is late: {task.late_end:.2f} s (P90)"
        lines.append(f"  {task.name}: planned to end at {task.end:.2f} s: {what}")
    return tuple(lines)


def _parse(text: str) -> float | None:
    if clock := re.fullmatch(r"(?:(\d+)-)?(?:(\d+):)?(\d+):(\d\d)", text):
        days, hours, minutes, seconds = (int(part or 0) for part in clock.groups())
        return 86400.0 * days + 3600 * hours + 60 * minutes + seconds
    parts = re.fullmatch(r"((?:\d+(?:\.\d+)?[smhd])+)|(\d+(?:\.\d+)?)", text)
    if parts is None:
        return None
    if parts[2]:
        return float(parts[2])
    return sum(float(number) * UNITS[unit] for number, unit in re.findall(r"(\d+(?:\.\d+)?)([smhd])", text))
