"""Plans made by hand."""

from __future__ import annotations

from hpcmtl.layerplan.model.family import Family
from hpcmtl.layerplan.plan import PlannedTask

FAMILY = Family("train", 1000, 1000, 64, 32)


def planned(name: str, span: tuple[float, float], block: tuple[int, int], *, critical: bool = False) -> PlannedTask:
    """One task of a hand-made plan."""
    return PlannedTask(
        name, "train", 2, block[1], 0, 1.0, len(name), 0, *span, 1.5 * span[1], block[0], critical, FAMILY
    )


TASKS = (
    planned("trunk", (0.0, 5.0), (0, 4), critical=True),
    planned("a<b & co", (5.0, 10.0), (0, 3)),
    planned("tiny", (5.0, 5.0), (3, 1)),
)

# As in plan.json, no more than what tells where tasks stand.
SMALL_PLAN = {
    "ranks": 4,
    "makespan": 100.0,
    "tasks": [
        {"name": "a", "kind": "train", "layers": 2, "start": 0.0, "end": 50.0, "width": 4},
        {"name": "b", "kind": "train", "layers": 1, "start": 50.0, "end": 100.0, "width": 4},
    ],
}
