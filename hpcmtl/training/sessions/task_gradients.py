"""Chooses how a task makes the gradients of its steps: all objectives together, or one in turn."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hpcmtl.jobfile.kinds import kind_of
from hpcmtl.training.loop import TARGET
from hpcmtl.training.multitask.step_gradients import gradients_by
from hpcmtl.training.multitask.turns import TurnOrder, turn_gradients

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hpcmtl.data.batches import BatchSpec
    from hpcmtl.jobfile.turns import Turns
    from hpcmtl.networks.consistency import AnyLoss
    from hpcmtl.networks.objective import Objective
    from hpcmtl.training.multitask.step_gradients import StepGradients
    from hpcmtl.training.session import SessionContext


def task_gradients(
    context: SessionContext, objectives: Sequence[Objective], spec: BatchSpec, steps: int, epochs: int
) -> StepGradients:
    """Returns the gradients of the steps of a training task.

    Args:
        context: context of the session.
        objectives: objectives of the task.
        spec: what its batches read.
        steps: number of steps in an epoch.
        epochs: number of epochs.

    Raises:
        InputError: an objective has no turn.
    """
    kind = kind_of(context.job, context.task)
    turns = kind.turns(context.job, context.task)
    if turns is None:
        choice = kind.weighting(context.job, context.task)
        losses: list[AnyLoss] = [*objectives, *kind.consistency(context.job, context.task)]
        return gradients_by(choice, losses, context.seed("weighting"), steps)
    order = TurnOrder(turns, _shares(turns, objectives, spec), steps, epochs, context.seed("turns"))
    return turn_gradients(order, objectives, f"tasks.{context.task}.turns")


def _shares(turns: Turns, objectives: Sequence[Objective], spec: BatchSpec) -> Sequence[float]:
    """Returns one number an objective, in proportion to its steps."""
    if turns.how != "proportional":
        return turns.shares or (1.0,) * len(objectives)
    labels = [spec.labels.get(TARGET + each.name) for each in objectives]
    return [1.0 if each is None else float(each.counts.mean(dtype="float64")) for each in labels]
