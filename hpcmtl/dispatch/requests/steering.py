"""Requests of users: checked against the state of the dispatcher, and carried out. Pure."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

from hpcmtl.dispatch.coordinator.state import Order
from hpcmtl.dispatch.protocol import SetRate
from hpcmtl.errors import nearest
from hpcmtl.networks.bounds import MOST
from hpcmtl.results.rundir.requests import Answer
from hpcmtl.training.orders import Rate

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from hpcmtl.dispatch.coordinator.dispatcher import Dispatcher
    from hpcmtl.dispatch.coordinator.state import TaskState
    from hpcmtl.dispatch.coordinator.task_source import ExtendedJob
    from hpcmtl.jobfile.kind_facts import KindFacts
    from hpcmtl.results.rundir.requests import Request

    Steered = tuple[Answer, list[Order]]
    Verb = Callable[[Dispatcher, TaskState, Request], Steered]


def steer(dispatcher: Dispatcher, request: Request, now: float) -> Steered:
    """Carries out a request, or refuses it.

    Args:
        dispatcher: dispatcher of the running job; it is changed only if the request is accepted.
        request: any request but ``add``, which needs files, see `additions`.
        now: seconds.

    Returns:
        The answer, and the orders that follow.
    """
    if dispatcher.ended or dispatcher.stopping:
        return _refused(f"the run {'has ended' if dispatcher.ended else 'is stopping'}")
    if request.verb not in VERBS:
        return _refused(f"there is no request {request.verb!r}{nearest(request.verb, VERBS)}")
    if request.verb == "cancel" and not request.task:
        orders = dispatcher.stop(f"{request.by} cancelled the job", now)
        return Answer(True, "the job stops at the next step boundary, with checkpoints, and is not tried again"), orders
    state = dispatcher.tasks.get(request.task)
    if state is None:
        return _refused(f"there is no task {request.task!r}{nearest(request.task, dispatcher.tasks)}")
    if state.status is not None:
        return _refused(f"task {request.task} has ended: it is {state.status}")
    if state.cancelled:
        return _refused(f"task {request.task} is being cancelled")
    answer, orders = VERBS[request.verb](dispatcher, state, request)
    return answer, [*orders, *(dispatcher.go_on(now) if answer.accepted else [])]


def extend(dispatcher: Dispatcher, extended: ExtendedJob, now: float) -> tuple[Answer | None, list[Order]]:
    """Adds the tasks of a job to the running one, or refuses it for what happened while it was examined.

    Returns:
        The answer, None if the job lacks tasks that the running one has got meanwhile; and the orders that follow.
    """
    if not dispatcher.tasks.keys() <= set(extended.graph.names):
        return None, []
    if dispatcher.ended or dispatcher.stopping:
        return _refused(f"the run {'has ended' if dispatcher.ended else 'is stopping'}")
    if extended.plan.ranks != dispatcher.world.size:
        return _refused("a rank was lost: tasks can be added once the run is resumed")
    new = [name for name in extended.graph.names if name not in dispatcher.tasks]
    for name in new:
        for need in extended.graph.producers(name):
            producer = dispatcher.tasks.get(need)
            if producer is not None and (producer.cancelled or producer.status not in {None, "complete"}):
                return _refused(f"task {name} needs {need}, which is {producer.status or 'being cancelled'}")
    dispatcher.extend(extended.plan, extended.graph)
    orders = [Order(dispatcher.world.members, extended.extension)]
    return Answer(True, f"{', '.join(new)}: started when their turn comes"), [*orders, *dispatcher.go_on(now)]


def problem_of(request: Request, kind: str, facts: KindFacts) -> str:
    """Returns the problem of the values of a `set` for a task of some kind; empty if they are sound."""
    values = request.values
    unknown = [key for key in values if key not in {"priority", "learning_rate"}]
    if unknown or not values:
        return f"`set` takes priority=N and learning_rate=X, found {', '.join(values) or 'nothing'}"
    priority, rate = values.get("priority", 0), values.get("learning_rate", 1.0)
    if not isinstance(priority, int) or isinstance(priority, bool):
        return f"priority is a whole number, found {priority!r}"
    if abs(priority) > MOST:
        return f"priority is a number from {-MOST} to {MOST}, found {priority}"
    if isinstance(rate, bool) or not isinstance(rate, int | float) or not (math.isfinite(rate) and rate > 0):
        return f"learning_rate is a number above 0, found {rate!r}"
    if "learning_rate" in values and not facts.has_learning_rate:
        return f"task {request.task} is of kind {kind}, which has no learning rate"
    return ""


def _set(dispatcher: Dispatcher, state: TaskState, request: Request) -> Steered:  # noqa: ARG001 - as the others
    """Sets another priority, or another learning rate."""
    problem = problem_of(request, state.plan.kind, state.plan.facts)
    if problem:
        return _refused(problem)
    orders: list[Order] = []
    if "priority" in request.values:
        state.plan = replace(state.plan, job_priority=request.values["priority"])
    if "learning_rate" in request.values:
        state.rate = Rate(state.rate.number + 1 if state.rate else 1, float(request.values["learning_rate"]))
        if state.running is not None:
            orders = [Order(state.running.group, SetRate(state.rate))]
    return Answer(True, "at the next step boundary" if orders else "from its next start on"), orders


def _pause(dispatcher: Dispatcher, state: TaskState, request: Request) -> Steered:
    """Stops a task with a checkpoint and releases its ranks."""
    if state.paused:
        return _refused(f"task {request.task} is paused already")
    state.paused, state.message = True, "paused"
    when = "its layer stops at the next step boundary" if state.running else "it does not run now"
    return Answer(True, when), dispatcher.lifecycle.halt(state)


def _unpause(dispatcher: Dispatcher, state: TaskState, request: Request) -> Steered:  # noqa: ARG001 - as the others
    """Lets a paused task go on."""
    if not state.paused:
        return _refused(f"task {request.task} is not paused")
    state.paused, state.message = False, ""
    return Answer(True, "it goes on when its turn comes"), []


def _cancel(dispatcher: Dispatcher, state: TaskState, request: Request) -> Steered:  # noqa: ARG001 - as the others
    """Ends a task, at once or when its layer has stopped."""
    if state.running is None:
        return Answer(True, "it has ended"), dispatcher.lifecycle.end(state, "cancelled", "was cancelled")
    state.cancelled = True
    return Answer(True, "its layer stops at the next step boundary"), dispatcher.lifecycle.halt(state)


def _refused(reason: str) -> Steered:
    return Answer(False, reason), []


VERBS: Mapping[str, Verb] = {"set": _set, "pause": _pause, "unpause": _unpause, "cancel": _cancel}
