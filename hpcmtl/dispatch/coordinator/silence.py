"""Bounds on the silence of layers: one is recorded as late, and given up as stuck after a longer time.

A group whose ranks all wait in a collective, an operator or a file system never ends by itself, though its control
threads send heartbeats. Layers that train report every second or every step, so that silence tells. Other work
(validation, checkpoints) has two hours before it is measured, and what comes before the first step has no bound.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from hpcmtl.dispatch.coordinator.state import Order
from hpcmtl.dispatch.protocol import Abandon, LayerFailed
from hpcmtl.dispatch.rank.current_layer import SECONDS_A_TURN, STUCK_SECONDS, TURNS
from hpcmtl.results.events import LayerLate, LayerStuck

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from hpcmtl.dispatch.coordinator.running import Running
    from hpcmtl.dispatch.coordinator.state import TaskState
    from hpcmtl.results.events import RunEvent

LATE_SECONDS = 300.0
"""Seconds without a report after which a layer is recorded as late, with the silent ranks; it may still be well."""

# The fail-over of a parallel file system takes minutes, in which steps that read their rows wait.
TIMES, SHORTEST, LONGEST = 20.0, 600.0, 1800.0
"""A layer is stuck after this multiple of the time to its next report, but within these seconds."""

UNMEASURED = 7200.0
"""Seconds for the first validation or checkpoint of a layer, of which nothing is known."""

SECONDS_TO_END = 10.0
"""Seconds in which a member has ended itself that did not leave in time a layer that was given up."""

_MOST_BETWEEN_LOOKS = 1.0  # seconds; after a longer pause this process was stopped, and the others perhaps as well


class SilenceWatch:
    """Finds running layers that say nothing for long. Pure: the clock comes in."""

    def __init__(self, bound: float | None = None, *, survives: bool = True) -> None:
        """Starts without findings.

        Args:
            bound: seconds of silence after which a layer counts as stuck, for all its work; 0 for never; None for a
                bound from the measured time of steps.
            survives: whether ranks can leave a layer, and go on after the loss of others.
        """
        self._bound, self._survives = bound, survives
        self._looked: float | None = None

    def look(
        self, running: Iterable[tuple[TaskState, Running]], now: float, record: Callable[[RunEvent], None]
    ) -> list[Order]:
        """Records the layers that are late or stuck since the last look, and returns the orders that follow."""
        passed, orders = 0.0 if self._looked is None else min(now - self._looked, _MOST_BETWEEN_LOOKS), []
        self._looked = now
        for state, layer in running:
            silent = tuple(sorted(set(layer.group) - layer.reported))
            layer.silent += passed
            if now - layer.last_report > LATE_SECONDS and not (layer.late or layer.stuck):
                layer.late = True
                record(LayerLate(task=state.plan.name, layer=layer.layer, silent_ranks=silent))
            if layer.silent > self._bound_of(state, layer) and not layer.stuck and layer.deadline is None:
                layer.stuck, layer.deadline = layer.silent, now + self._seconds_to_leave(layer)
                record(LayerStuck(task=state.plan.name, layer=layer.layer, seconds=layer.stuck, silent_ranks=silent))
                orders.append(Order(layer.group, Abandon(layer.start_number, stuck=layer.stuck)))
        return orders

    def _seconds_to_leave(self, layer: Running) -> float:
        """Returns the seconds in which all members must have left a layer that is given up, or told where they are."""
        if not self._survives:
            return SECONDS_TO_END
        return min(layer.silent, STUCK_SECONDS) + SECONDS_A_TURN * min(len(layer.group), TURNS) + SECONDS_TO_END

    def _bound_of(self, state: TaskState, layer: Running) -> float:
        if self._bound == 0 or not state.plan.facts.stops_at_steps:
            return math.inf
        if self._bound is not None:
            return self._bound
        if layer.expected is not None and not layer.reported:
            return max(min(max(TIMES * layer.expected, SHORTEST), LONGEST), 3 * layer.expected)
        if layer.longest_pause:
            return max(LONGEST, TIMES * layer.longest_pause)
        return UNMEASURED if layer.paced else math.inf


def stuck_failure(state: TaskState, layer: Running) -> LayerFailed:
    """Returns the failure of a layer that was given up, with the places where its members were."""
    places = ", ".join(f"rank {member} in {place}" for member, place in sorted(layer.places.items()))
    text = f"stuck: no step for {layer.stuck:.0f} s" + (f" ({places})" if places else "")
    return LayerFailed(
        member=layer.group[0],
        task=state.plan.name,
        layer=layer.layer,
        message=f"{text}; the stacks of all threads are in the logs of its ranks",
        group=layer.group,
        start_number=layer.start_number,
    )
