"""Families of encoders and heads on one task graph, and the makespans that they were planned at before."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from planning.instances import MODELS, from_arrays, job_widths, speedups

if TYPE_CHECKING:
    from hpcmtl.layerplan.problem.planning_problem import PlanningProblem

ENCODERS, EVALUATIONS = 3, 5  # of a family; evaluations of each joint fine-tuning
HEAD_SECONDS = 600.0  # of the smallest head on one rank


def makespans_before() -> dict[str, list[float]]:
    """Returns the makespans of the planner without local search: "MODEL TASKS RANKS" -> seconds for seed 1, 2, ..."""
    found: dict[str, list[float]] = json.loads((Path(__file__).parent / "families_before.json").read_text("utf-8"))
    return found


def family(model: str, tasks: int, ranks: int, seed: int) -> PlanningProblem:
    """Returns encoders, each with features, heads of Pareto sizes on them, a joint fine-tuning and evaluations of it.

    The tasks are divided among three encoders. Speedups are those of a model of `published`, at the widths of a job.
    """
    draw = np.random.default_rng([seed, tasks, ranks, MODELS.index(model)])
    work: list[float] = []
    edges: list[tuple[int, int]] = []
    for share in np.diff(np.linspace(0, tasks, ENCODERS + 1).astype(np.int64)).tolist():
        heads, encoder = share - 3 - EVALUATIONS, len(work)
        features, joint = encoder + 1, encoder + 2 + heads
        edges += [(encoder, features), *((features, head) for head in range(features + 1, joint))]
        edges += [*((head, joint) for head in range(features + 1, joint))]
        edges += [(joint, joint + 1 + k) for k in range(EVALUATIONS)]
        sizes = np.minimum(1 + draw.pareto(1.1, heads), 40)
        work += [
            40 * draw.lognormal(0, 0.5),
            5.0,
            *sizes,
            30 * draw.lognormal(0, 0.5),
            *draw.uniform(1, 3, EVALUATIONS),
        ]
    widths = job_widths(ranks)
    return from_arrays(speedups(model, np.array(work) * HEAD_SECONDS, widths, draw), widths, np.array(edges), ranks)
