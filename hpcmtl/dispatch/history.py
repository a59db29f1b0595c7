"""What earlier attempts of a run have done, by its ledger. Pure: events come in, values go out."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from hpcmtl.training.orders import Rate
from hpcmtl.training.session import LayerOutcome, outcome_told

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from hpcmtl.dispatch.state import TaskState


@dataclass
class Past:
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
    tasks: dict[str, Past] = field(default_factory=dict)


def history_of(events: Iterable[Mapping[str, Any]]) -> History:
    """Read the history of a run from the events of its ledger, in their order."""
    history = History()
    for event in events:
        if event["event"] == "job_started":
            history.attempts += 1
        elif isinstance(event.get("task"), str) and event["task"]:
            _take(history.tasks.setdefault(event["task"], Past()), event["event"], event)
    return history


def _take(past: Past, event: str, fields: Mapping[str, Any]) -> None:
    if event == "layer_started":
        past.layers = fields["layers"]
    elif event in {"layer_ended", "layer_stopped"}:
        past.outcomes.append((fields["ranks"], outcome_told(fields)))
        if event == "layer_ended":
            past.layers_done = fields["layer"] + 1
    elif event == "task_ended":
        past.complete, past.cancelled = fields["status"] == "complete", fields["status"] == "cancelled"
    elif event == "artifact_damaged":  # the last layer was to be run again
        past.layers_done, past.complete = max(past.layers_done - past.complete, 0), False
    elif event == "request_accepted":
        _take_request(past, fields["verb"], fields["values"])


def _take_request(past: Past, verb: str, values: Mapping[str, Any]) -> None:
    if verb == "set":
        past.priority = values.get("priority", past.priority)
        if "learning_rate" in values:
            past.rate = Rate(past.rate.number + 1 if past.rate else 1, float(values["learning_rate"]))
    elif verb in {"pause", "unpause"}:
        past.paused = verb == "pause"
    elif verb == "cancel":
        past.cancelled = True


def go_on_from(state: TaskState, past: Past) -> None:
    """Bring a task that has not begun in this attempt to where earlier ones left it; what failed is tried again."""
    layers = state.plan.layers
    state.outcomes, state.steps = list(past.outcomes), None
    state.paused, state.cancelled, state.rate = past.paused, past.cancelled, past.rate
    if past.priority is not None:
        state.plan = replace(state.plan, job_priority=past.priority)
    if past.complete:
        state.layers_done, state.status = layers, "complete"
    else:  # another policy may cut the task into other layers: then only running the last one tells that it is complete
        state.layers_done = min(past.layers_done, layers if past.layers == layers else layers - 1)
