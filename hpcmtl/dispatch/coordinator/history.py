"""The state of a task in a new attempt, from the history that the ledger has of it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from hpcmtl.training.orders import Rate
from hpcmtl.training.session import outcome_from_event

if TYPE_CHECKING:
    from hpcmtl.dispatch.coordinator.state import TaskState
    from hpcmtl.results.history import TaskHistory


def go_on_from(state: TaskState, history: TaskHistory) -> None:
    """Sets a task that has not begun in this attempt to the point that earlier ones reached; failed ones run again."""
    layers = state.plan.layers
    state.outcomes, state.steps = [(each.ranks, outcome_from_event(each)) for each in history.outcomes], None
    state.paused, state.cancelled = history.paused, history.cancelled
    state.losses, state.lost_layer = history.losses, history.lost_layer
    state.rate = None if history.learning_rate is None else Rate(history.learning_rates, history.learning_rate)
    if history.priority is not None:
        state.plan = replace(state.plan, job_priority=history.priority)
    if history.complete:
        state.layers_done, state.status = layers, "complete"
    else:  # another policy may cut the task into other layers: then only running the last one tells that it is complete
        state.layers_done = min(history.layers_done, layers if history.layers == layers else layers - 1)
