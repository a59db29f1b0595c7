"""Reads the curves of tasks: one file of JSON lines a task, in the order in which the points were made."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from hpcmtl.results.curves.point import TrainingPoint, from_fields

if TYPE_CHECKING:
    from pathlib import Path

    from hpcmtl.results.rundir.directory import RunDirectory


def read_points(path: Path) -> list[TrainingPoint]:
    """Returns the points of one task by step, those of the end of an epoch after the others of their step.

    Steps that a resumed attempt repeated count once: a point takes the place of all earlier lines of its step and of
    later steps. A torn or damaged line is passed over: curves are shown, and nothing depends on them.

    Args:
        path: file of the task; it need not exist.
    """
    kept: list[TrainingPoint] = []
    lines = path.read_bytes().split(b"\n") if path.exists() else []
    for line in lines:
        point = _point_of(line)
        if point is None:
            continue
        while kept and _place(kept[-1]) >= _place(point):
            kept.pop()
        kept.append(point)
    return kept


def _place(point: TrainingPoint) -> tuple[int, bool]:
    return point.step, point.ends_epoch


def _point_of(line: bytes) -> TrainingPoint | None:
    try:
        return from_fields(json.loads(line))
    except (ValueError, TypeError, AttributeError):
        return None


def read_curves(run: RunDirectory) -> dict[str, list[TrainingPoint]]:
    """Returns the points of each task of a run that has some, by name of the task."""
    return {path.stem: read_points(path) for path in sorted(run.curves.glob("*.jsonl"))}
