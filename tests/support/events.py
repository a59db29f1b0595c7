"""Events of a ledger for tests, by their names there."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hpcmtl.results.event_format import from_fields, to_fields

if TYPE_CHECKING:
    from hpcmtl.results.events import RunEvent


def event(name: str, **fields: Any) -> RunEvent:
    """Returns an event with some of its fields."""
    made = from_fields(name, fields)
    assert made is not None, f"there is no event {name}"
    return made


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
