"""Hand-made plans."""

from __future__ import annotations

from hpcmtl.layerplan.model.family import Family
from hpcmtl.layerplan.plan import LayerPlan, PlannedTask

FAMILY = Family("train", 1000, 1000, 64, 32)


def planned(name: str, span: tuple[float, float], block: tuple[int, int], *, critical: bool = False) -> PlannedTask:
    """Returns one task of a hand-made plan."""
    start, end = span
    return PlannedTask(
        name=name,
        kind="train",
        layers=2,
        width=block[1],
        job_priority=0,
        priority=1.0,
        order=len(name),
        wave=0,
        start=start,
        end=end,
        late_end=1.5 * end,
        first_rank=block[0],
        critical=critical,
        family=FAMILY,
    )


def plan_of(tasks: tuple[PlannedTask, ...], ranks: int, makespan: float = 10.0) -> LayerPlan:
    """Returns a plan of hand-made tasks, at most a quarter longer than the optimum."""
    return LayerPlan(
        policy="variable",
        ranks=ranks,
        makespan=makespan,
        lower_bound=0.8 * makespan,
        utilisation=0.9,
        barrier=False,
        tasks=tasks,
    )


TASKS = (
    planned("trunk", (0.0, 5.0), (0, 4), critical=True),
    planned("a<b & co", (5.0, 10.0), (0, 3)),
    planned("tiny", (5.0, 5.0), (3, 1)),
)

# As in plan.json, with only the fields that the progress of tasks needs.
SMALL_PLAN = {
    "ranks": 4,
    "makespan": 100.0,
    "tasks": [
        {"name": "a", "kind": "train", "layers": 2, "start": 0.0, "end": 50.0, "width": 4},
        {"name": "b", "kind": "train", "layers": 1, "start": 50.0, "end": 100.0, "width": 4},
    ],
}
