"""The plan that a run follows while it holds: the width, the turn and the first rank of each task. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from hpcmtl.layerplan.solve.packing import pack_in_turn

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hpcmtl.arrays import Ints
    from hpcmtl.layerplan.plan import LayerPlan
    from hpcmtl.layerplan.problem.planning_problem import PlanningProblem
    from hpcmtl.layerplan.solve.packing import FixedPart, Schedule

    Blocks = Sequence[tuple[int, int]]


@dataclass(frozen=True)
class PlanInForce:
    """Holds what a run follows, as arrays (n,) over all tasks of the job.

    Attributes:
        columns: width of each task, as a column of the problem's table.
        turn: position in which the task was packed; the first plan is the one that packing in this order gives.
        first_rank: first rank of the block.
    """

    columns: Ints
    turn: Ints
    first_rank: Ints

    @classmethod
    def of(cls, plan: LayerPlan, widths: Ints) -> PlanInForce:
        """Returns that of a layer plan; `widths` (K,) are those of the columns."""
        columns: Ints = np.searchsorted(widths, np.array([task.width for task in plan.tasks]))
        return cls(columns, np.array(plan.turns), np.array([task.first_rank for task in plan.tasks]))

    def replaced(self, left: Ints, found: Schedule) -> PlanInForce:
        """Returns the plan after `found`, a schedule of the tasks `left` (m,); the others need none."""
        columns, turn, first_rank = self.columns.copy(), self.turn.copy(), self.first_rank.copy()
        assert found.sequence is not None
        columns[left], first_rank[left] = found.columns, found.first_rank
        turn[left[[i for i in found.sequence if i < len(left)]]] = np.arange(len(left))
        return PlanInForce(columns, turn, first_rank)

    def pack(self, rest: PlanningProblem, left: Ints, blocks: Blocks, fixed: FixedPart) -> Schedule:
        """Packs what is left of the tasks in the turns of the plan, each as a whole; higher priorities go first.

        Args:
            rest: the tasks `left`, with the times of what is left of them.
            left: (m,) their indices.
            blocks: (m,) column of the width of each, and first rank of the block that it holds; -1 for none.
            fixed: the ranks that are busy.
        """
        planned = zip(left.tolist(), blocks, strict=True)
        stay = [
            first if first >= 0 or column != self.columns[i] else int(self.first_rank[i])
            for i, (column, first) in planned
        ]
        columns = np.array([column for column, _ in blocks])
        turn = np.argsort(np.lexsort((rest.name_order, self.turn[left], -rest.priority)))
        return pack_in_turn(rest, columns, fixed, turn, stay)
