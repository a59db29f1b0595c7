"""Looks ahead: packs what is left of the job at every event, by what layers really took, and starts what is due now.

The plan of the start is a prediction. While the job runs, widths come from it until a layer took a fifth more or less
than predicted; then times are predicted anew from all layers so far, and widths with them. Which task goes next, on
which ranks, is decided at every event by packing the next tasks around the layers that run: so ranks may be kept for an
urgent task that is about to become ready, and what is short enough fills the time until then.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from hpcmtl.dispatch.state import ready
from hpcmtl.layerplan.packing import Past, Schedule, pack_next
from hpcmtl.layerplan.problem import make_problem
from hpcmtl.layerplan.replan import new_widths
from hpcmtl.layerplan.speedup import Measurement, Speedups, family_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from hpcmtl.dispatch.state import Running, TaskState
    from hpcmtl.layerplan.plan import LayerPlan
    from hpcmtl.layerplan.problem import PlanningProblem
    from hpcmtl.taskgraph.graph import TaskGraph
    from hpcmtl.taskgraph.levels import Ints
    from hpcmtl.training.session import LayerOutcome

NEXT = 64  # tasks that are packed at an event; benchmarks/planner.py, family noise
SURPRISE = 1.2  # factor between what a layer took and its prediction, either way, that calls for new predictions
SECONDS_BETWEEN_PLANS = 1.0
OVERDUE = 0.05  # a layer that is late is expected to take this part of its time so far from now on
MOVE_SECONDS = 0.15  # what a session costs that is opened on other ranks, before any was (measured: 0.13 to 0.16 s)


class Foresight:
    """A `Scheduler` that adapts: group widths change at layer boundaries where that is predicted to pay."""

    def __init__(self, graph: TaskGraph, plan: LayerPlan, measurements: Iterable[Measurement] = ()) -> None:
        """Begin with a plan.

        Args:
            graph: the tasks; those of the plan.
            plan: widths to begin with.
            measurements: of layers that ran before.
        """
        self._graph, self._plan = graph, plan
        self._measured = list(measurements)
        self._predict()
        widths = np.array([task.width for task in plan.tasks])
        self._columns: Ints = np.searchsorted(self._problem.widths, widths)
        self._beside: dict[bool, list[float]] = {True: [], False: []}  # seconds beside the steps, by `Running.opened`
        self._surprised, self._planned_at = False, -np.inf

    def starts(self, tasks: Mapping[str, TaskState], now: float) -> Iterator[tuple[TaskState, range]]:
        """See `Scheduler`."""
        states = list(tasks.values())
        if not any(ready(tasks, state, now) for state in states):
            return
        left = [i for i, state in enumerate(states) if state.status is None and _layers_left(state)]
        rest = self._rest(left, states, now)
        past = self._past(len(left), states, now)
        if self._surprised and now - self._planned_at >= SECONDS_BETWEEN_PLANS:
            self._columns[left] = new_widths(rest, self._columns[left], past)
            self._surprised, self._planned_at = False, now
        columns, stay = self._columns[left], [-1] * len(left)
        for k, i in enumerate(left):
            columns[k], stay[k] = self._where_it_is(states[i], rest, k, columns[k])
        seconds, widths = rest.at(columns)
        reach = max(float(rest.levels.bottom(seconds).max()), float(seconds @ widths) / rest.ranks)
        packed = pack_next(rest, columns, reach, past, most=NEXT, stay=stay)
        for k in np.flatnonzero(packed.start <= 0.0).tolist():
            first, width = int(packed.first_rank[k]), int(rest.widths[packed.columns[k]])
            yield states[left[k]], range(first, first + width)

    def layer_ended(self, state: TaskState, running: Running, outcome: LayerOutcome, now: float) -> Mapping[str, Any]:
        """See `Scheduler`; the prediction goes to the ledger, beside what the layer took."""
        if outcome.stopped or not outcome.step_seconds > 0:  # nothing that could be predicted from
            return {}
        seconds = now - running.started
        predicted = self._layer_seconds(state, running)
        family = family_of(self._graph.task(state.plan.name))
        nodes, crowd = self._plan.machine.share(running.block)
        rows, steps, step_seconds = outcome.rows, outcome.steps, outcome.step_seconds
        self._measured.append(Measurement(family, len(running.block), nodes, crowd, rows, steps, step_seconds, seconds))
        self._beside[running.opened].append(max(seconds - outcome.steps * outcome.step_seconds, 0.0))
        if max(seconds, predicted) > SURPRISE * min(seconds, predicted):
            self._predict()
            self._surprised = True
        return {"predicted_seconds": predicted}

    def _predict(self) -> None:
        speedups = Speedups(self._measured, self._plan.machine)
        self._problem = make_problem(self._graph, self._plan.ranks, speedups)

    def _rest(self, left: Sequence[int], states: Sequence[TaskState], now: float) -> PlanningProblem:
        """What has not started: the layers of each task that are left, from now on."""
        release = np.zeros(len(states))
        consumers = self._problem.levels.consumers
        for i, state in enumerate(states):
            if state.running is not None:
                remaining = self._remaining(state, state.running, now)
                if _layers_left(state):
                    release[i] = remaining
                else:
                    after = consumers.items[consumers.starts[i] : consumers.starts[i + 1]]
                    release[after] = np.maximum(release[after], remaining)
            release[i] = max(release[i], state.not_before - now)
        tasks = np.array(left, dtype=np.int64)
        rest = self._problem.part(tasks, 0.0, release[tasks])
        parts = np.array([_layers_left(states[i]) / states[i].plan.layers for i in left])
        rest.times[:] *= parts[:, None]
        return rest

    def _past(self, count: int, states: Sequence[TaskState], now: float) -> Past:
        """The layers that run, as ranks that are busy."""
        busy = [
            (state.running.block, self._remaining(state, state.running, now))
            for state in states
            if state.running is not None
        ]
        none = np.zeros(count)
        nothing = Schedule(none.astype(np.int64), none, none, none.astype(np.int64))
        return Past(0.0, none.astype(np.bool_), nothing, tuple(busy))

    def _where_it_is(self, state: TaskState, rest: PlanningProblem, k: int, column: int) -> tuple[int, int]:
        """The width that a task should have, and the first rank that it should stay at.

        It is left where it is, unless a move ends it sooner with the cost of moving.
        """
        if state.held is None:
            return int(column), -1
        here = int(np.searchsorted(rest.widths, len(state.held)))
        if rest.times[k, column] + self._move_seconds() < rest.times[k, here]:
            return int(column), -1
        return here, state.held.start

    def _move_seconds(self) -> float:
        opened, stayed = self._beside[True], self._beside[False]
        return max(float(np.mean(opened) - np.mean(stayed)), 0.0) if opened and stayed else MOVE_SECONDS

    def _layer_seconds(self, state: TaskState, running: Running) -> float:
        """Predicted seconds of a running layer."""
        i = self._graph.index[state.plan.name]
        column = int(np.searchsorted(self._problem.widths, len(running.block)))
        return float(self._problem.times[i, column]) / state.plan.layers

    def _remaining(self, state: TaskState, running: Running, now: float) -> float:
        """Seconds until a running layer is expected to end; always some."""
        so_far = now - running.started
        return max(self._layer_seconds(state, running) - so_far, OVERDUE * so_far, 1e-3)


def _layers_left(state: TaskState) -> int:
    """Layers of a task that have not been started."""
    return state.plan.layers - state.layers_done - (state.running is not None)
