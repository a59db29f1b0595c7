"""Comparison of a task's first step on a group with the framework's own arithmetic, agreed on by all ranks.

It guards against faults of a framework, of a user's operators, and of hpcmtl itself that no loss would show: a gradient
that is wrong in the compiled network alone, or a parameter that is updated twice or not at all.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from hpcmtl.errors import TaskFailedError
from hpcmtl.training.step_comparison import StepComparison

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hpcmtl.communicators.base import Communicator
    from hpcmtl.training.learner import Learner
    from hpcmtl.training.step_input import StepInput


def compare_first_step(
    learner: Learner, known: StepComparison | None, batch: StepInput, rate: float, *, task: str, group: Communicator
) -> StepComparison:
    """Compares one step on every rank; a network that differs on any rank is compiled on none (collective).

    Args:
        learner: learner of this rank, with the parameters of the group.
        known: what an earlier group of this learner agreed on; None to compare now.
        batch: this rank's share of a batch.
        rate: learning rate.
        task: name of the task.
        group: ranks that train together.

    Returns:
        What the group agreed on, equal on all ranks.

    Raises:
        TaskFailedError: on all ranks, if an update differs on one.
    """
    # What depends on other rows of a batch is of no interest on one rank, and so not known from there.
    is_known = known is not None and (known.coupled is not None or group.size == 1)
    found = known if known is not None and is_known else learner.compare_step(batch.with_one_target(), rate)
    remarkable = np.array([float(found not in (StepComparison(), StepComparison(coupled=False)))])
    group.Allreduce(remarkable)
    if not remarkable[0]:
        return found
    everywhere: list[StepComparison] = group.allgather(found)
    updates = [each.update for each in everywhere if each.update]
    if updates:
        raise TaskFailedError(f"task {task}: {updates[0]}")
    agreed = _agreed(everywhere)
    if agreed.compiled:
        learner.run_uncompiled()
    return agreed


def _agreed(everywhere: Sequence[StepComparison]) -> StepComparison:
    """Returns what any of the ranks has found."""
    return StepComparison(
        compiled=next((each.compiled for each in everywhere if each.compiled), ""),
        coupled=None if everywhere[0].coupled is None else any(each.coupled for each in everywhere),
        draws=any(each.draws for each in everywhere),
        sums=all(each.sums for each in everywhere),
        multiples=all(each.multiples for each in everywhere),
        attributes=everywhere[0].attributes,
    )
