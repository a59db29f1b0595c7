"""Random planning problems."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import strategies as st

from hpcmtl.layerplan.problem.planning_problem import PlanningProblem
from hpcmtl.layerplan.problem.rules import PlacementRules
from hpcmtl.taskgraph.levels import Levels


@st.composite
def problems(draw: Any) -> PlanningProblem:
    """Draws tasks of any times, with missing widths, and any mixture of placement rules."""
    ranks, count = draw(st.integers(1, 9)), draw(st.integers(1, 7))
    random = np.random.default_rng(draw(st.integers(0, 2**32)))
    times = random.uniform(0.1, 9.0, (count, ranks))
    times[random.random(times.shape) < draw(st.sampled_from([0.0, 0.4]))] = np.inf
    times[np.arange(count), random.integers(0, ranks, count)] = random.uniform(0.1, 9.0, count)
    pairs = np.array([(i, j) for j in range(count) for i in range(j)], dtype=np.int64).reshape(-1, 2)
    edges = pairs[random.random(len(pairs)) < draw(st.sampled_from([0.0, 0.2, 0.7]))]
    leaders = np.array([random.integers(-1, j) if random.random() < 1 / 3 else -1 for j in range(count)])

    def sometimes(value: Any) -> Any:
        return value if draw(st.booleans()) else None

    rules = PlacementRules(
        node=draw(st.integers(0, ranks)),
        exclusive=sometimes(random.random(count) < 1 / 2),
        memory=random.integers(0, 4, count).astype(np.float64),
        rank_memory=sometimes(random.integers(2, 5, ranks).astype(np.float64)),
        gpu_memory=sometimes(random.integers(0, 3, count).astype(np.float64)),
        rank_gpu_memory=sometimes(random.integers(1, 4, ranks).astype(np.float64)),
        rank_speed=sometimes(random.choice([0.5, 1.0, 2.0], ranks)),
        same_block=sometimes(leaders),
    )
    zeros = np.zeros(count, dtype=np.int64)
    priority, release = random.integers(-1, 2, count), random.choice([0.0, 3.0], count)
    names = tuple("abcdefg"[:count])
    widths = np.arange(1, ranks + 1)
    return PlanningProblem(names, times, widths, Levels(count, edges), ranks, priority, zeros + 1, release, rules)
