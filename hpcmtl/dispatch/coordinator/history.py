"""What earlier attempts of a run have done, by its ledger. Pure: events come in, values go out."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from hpcmtl.results.event_format import from_fields
from hpcmtl.results.events import LayerOver
from hpcmtl.training.orders import Rate
from hpcmtl.training.session import LayerOutcome, outcome_from_event

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from hpcmtl.dispatch.coordinator.state import TaskState


@dataclass
class TaskHistory:
    """What has become of one task.

    Attributes:
        layers: into which it was cut when it last ran; 0 if it has not.
        layers_done: finished layers.
        complete: whether it is.
        cancelled: whether somebody cancelled it.
        paused: whether it waits until somebody lets it go on.
        priority: what somebody ordered; None for that of the job file.
        rate: the learning rate that somebody ordered last.
        outcomes: of the layers that were run, with their widths.
    """

    layers: int = 0
    layers_done: int = 0
    complete: bool = False
    cancelled: bool = False
    paused: bool = False
    priority: int | None = None
    rate: Rate | None = None
    outcomes: list[tuple[int, LayerOutcome]] = field(default_factory=list)

    @property
    def begun(self) -> bool:
        """Whether any of its steps may have been done."""
        return self.complete or self.layers_done > 0 or bool(self.outcomes)


@dataclass
class History:
    """What a run has done so far.

    Attributes:
        attempts: how many there were.
        tasks: of those that anything is known of.
    """

    attempts: int = 0
    tasks: dict[str, TaskHistory] = field(default_factory=dict)


def history_of(events: Iterable[Mapping[str, Any]]) -> History:
    """Read the history of a run from the events of its ledger, in their order."""
    history = History()
    for event in events:
        if event["event"] == "job_started":
            history.attempts += 1
        elif isinstance(event.get("task"), str) and event["task"]:
            _take(history.tasks.setdefault(event["task"], TaskHistory()), event["event"], event)
    return history


def _take(history: TaskHistory, event: str, fields: Mapping[str, Any]) -> None:
    if event == "layer_started":
        history.layers = fields["layers"]
    elif event in {"layer_ended", "layer_stopped"}:
        history.outcomes.append((fields["ranks"], outcome_from_event(_over(event, fields))))
        if event == "layer_ended":
            history.layers_done = fields["layer"] + 1
    elif event == "task_ended":
        history.complete, history.cancelled = fields["status"] == "complete", fields["status"] == "cancelled"
    elif event == "artifact_damaged":  # the last layer was to be run again
        history.layers_done, history.complete = max(history.layers_done - history.complete, 0), False
    elif event == "request_accepted":
        _take_request(history, fields["verb"], fields["values"])


def _over(event: str, fields: Mapping[str, Any]) -> LayerOver:
    found = from_fields(event, fields)
    assert isinstance(found, LayerOver)
    return found


def _take_request(history: TaskHistory, verb: str, values: Mapping[str, Any]) -> None:
    if verb == "set":
        history.priority = values.get("priority", history.priority)
        if "learning_rate" in values:
            history.rate = Rate(history.rate.number + 1 if history.rate else 1, float(values["learning_rate"]))
    elif verb in {"pause", "unpause"}:
        history.paused = verb == "pause"
    elif verb == "cancel":
        history.cancelled = True


def go_on_from(state: TaskState, history: TaskHistory) -> None:
    """Bring a task that has not begun in this attempt to where earlier ones left it; what failed is tried again."""
    layers = state.plan.layers
    state.outcomes, state.steps = list(history.outcomes), None
    state.paused, state.cancelled, state.rate = history.paused, history.cancelled, history.rate
    if history.priority is not None:
        state.plan = replace(state.plan, job_priority=history.priority)
    if history.complete:
        state.layers_done, state.status = layers, "complete"
    else:  # another policy may cut the task into other layers: then only running the last one tells that it is complete
        state.layers_done = min(history.layers_done, layers if history.layers == layers else layers - 1)
