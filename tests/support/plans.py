"""A plan made by hand."""

from __future__ import annotations

from hpcmtl.layerplan.plan import PlannedTask


def planned(name: str, span: tuple[float, float], block: tuple[int, int], *, critical: bool = False) -> PlannedTask:
    """One task of a hand-made plan."""
    return PlannedTask(name, "train", 2, block[1], 0, 1.0, len(name), 0, *span, block[0], critical)


TASKS = (
    planned("trunk", (0.0, 5.0), (0, 4), critical=True),
    planned("a<b & co", (5.0, 10.0), (0, 3)),
    planned("tiny", (5.0, 5.0), (3, 1)),
)
