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
