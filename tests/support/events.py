"""Events of a ledger for tests, by their names there."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hpcmtl.results.event_format import from_fields, to_fields
from hpcmtl.results.run_state import RunState

if TYPE_CHECKING:
    from hpcmtl.results.events import RunEvent


def event(name: str, **fields: Any) -> RunEvent:
    """Returns an event with some of its fields."""
    made = from_fields(name, fields)
    assert made is not None, f"there is no event {name}"
    return made


def state_after(*happened: tuple[str, dict[str, Any]]) -> RunState:
    """Returns the state of a run after events, given by names and fields; one happens every second."""
    state = RunState()
    for second, (name, fields) in enumerate(happened, 1):
        state.take(event(name, **fields), float(second))
    return state


EXAMPLES = (
    event("job_started", job="small", ranks=4, policy="variable", host="h", attempt=1),
    event("layer_started", task="a", layer=0, layers=2, first_rank=0, ranks=2),
    event("layer_late", task="a", layer=0, silent_ranks=[1, 2]),
    event("layer_stuck", task="a", layer=0, seconds=130.0, silent_ranks=[1, 2]),
    event("rank_stuck", task="a", layer=0, rank=1, place="mpi.py:150 in Allreduce"),
    event("checkpoint_written", task="a", step=10, seconds=0.1, held=0.01, bytes=100),
    event("training_stopped", task="a", head="h", epoch=7, step=80, monitor="h.val_accuracy", best=0.9, best_epoch=4),
    event("checkpoint_damaged", task="a", file="step.h5", message="torn"),
    event("learning_rate_changed", task="a", layer=0, step=3, learning_rate=0.1),
    event("request_accepted", request="1", verb="pause", by="me@here", task="a", message="paused"),
    event("request_refused", request="2", message="unreadable"),
    event("rank_failed", task="a", layer=0, rank=1, message="boom"),
    event("task_noted", task="a", text="it does not compile"),
    event("task_retried", task="a", layer=0, retry=1, retries=2, wait=1.0, message="boom"),
    event("task_reset", task="a", changed=["epochs"]),
    event("rank_suspected", rank=2, seconds=31.0, task="a", layer=0, step=4),
    event("rank_recovered", rank=2, seconds=40.0),
    event("rank_hung", rank=3, host="h", seconds=95.0, doing="nothing", fenced_by=0),
    event("rank_lost", rank=3, host="h"),
    event("world_shrunk", ranks=3, members=[0, 1, 2], generation=1),
    event("layer_restarted", task="a", layer=0),
    event("layer_stopped", task="a", layer=0, ranks=2, steps=3),
    event("layer_ended", task="a", layer=0, ranks=2, steps=3, seconds=1.0, metrics={"loss": 0.5}),
    event("artifact_damaged", task="a", consumer="b", layer=0, message="artifact of a is damaged"),
    event("job_paused", tasks=["a"]),
    event("job_stopping", reason="SIGTERM"),
    event("task_ended", task="a", status="failed", message="boom"),
    event("task_ended", task="b", status="skipped", message="needs a, which failed"),
    event("attempt_concluded", attempt="1.0", job="1", action="end", successor="", progressed=True),
    event("job_ended", status="failed", seconds=9.0),
)
"""One event of each kind at least."""


class Recorder:
    """Keeps events as pairs of their name and their fields.

    Attributes:
        events: the pairs, in order.
    """

    def __init__(self) -> None:
        self.events: list[tuple[str, dict[str, Any]]] = []

    def record(self, event: RunEvent) -> None:
        """Keeps an event."""
        self.events.append((event.name, to_fields(event)))
