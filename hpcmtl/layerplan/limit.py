"""What of a plan a time limit cuts off."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from hpcmtl.errors import InputError, Problem

if TYPE_CHECKING:
    from hpcmtl.layerplan.plan import LayerPlan, PlannedTask

UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
# How much longer than predicted one plan in ten takes, as long as times come from sizes alone: what a plan is held to
# when it must fit.
PRIOR_P90 = 1.5


def parse_duration(text: str) -> float:
    """Seconds of ``90``, ``90s``, ``45m``, ``1.5h``, ``1h30m``, ``1d`` or Slurm's ``[D-]H:MM:SS``.

    Raises:
        InputError: it is none of these, or not more than zero.
    """
    seconds = _parse(text.strip().lower())
    if seconds is None or seconds <= 0:
        raise InputError(
            [Problem("--time-limit", f"{text!r} is no time: write 90s, 45m, 1h30m, 2-00:00:00 or the like")]
        )
    return seconds


def cut_off(plan: LayerPlan, limit: float, certainty: float = PRIOR_P90) -> tuple[PlannedTask, ...]:
    """The tasks that may end after `limit` seconds, if everything takes `certainty` times as long; by planned end."""
    late = [task for task in plan.tasks if task.end * certainty > limit]
    return tuple(sorted(late, key=lambda task: (task.end, task.name)))


def limit_lines(plan: LayerPlan, limit: float) -> tuple[str, ...]:
    """Say whether a plan fits a time limit, and what does not."""
    late = cut_off(plan, limit)
    surely = {task.name for task in cut_off(plan, limit, 1.0)}
    if not late:
        return (f"time limit  {limit:.0f} s: everything ends in time, even if it takes {PRIOR_P90:g} times as long",)
    lines = [f"time limit  {limit:.0f} s: {len(late)} of {len(plan.tasks)} tasks may not end in time"]
    for task in late:
        what = "does not fit" if task.name in surely else f"fits unless it takes {limit / task.end:.2f} times as long"
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
