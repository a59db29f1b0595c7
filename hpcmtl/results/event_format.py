"""Events as JSON objects: one line of a ledger each; older formats are upgraded when they are read."""

from __future__ import annotations

from dataclasses import fields
from functools import cache
from typing import TYPE_CHECKING, Any

from hpcmtl.logs import harmless
from hpcmtl.results.events import FORMAT, RunEvent

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from pydantic import TypeAdapter

FIRST_FORMAT = 1
"""Format of a ledger whose `JobStarted` has no `format`."""

EARLIER_FORMATS = tuple(range(FIRST_FORMAT, FORMAT))
"""Formats whose events are upgraded when they are read."""

_RENAMED_EVENTS = {
    "rank_suspect": "rank_suspected",
    "rank_back": "rank_recovered",
    "rate_taken": "learning_rate_changed",
    "stopping": "job_stopping",
    "job_waits": "job_paused",
}
_RENAMED_FIELDS = {"rank_hung": {"killer": "fenced_by"}, "world_shrunk": {"survivors": "members"}}
_RENAMED_FACTS = {"handover_seconds": "transfer_seconds"}  # of formats 1 and 2


def to_fields(event: RunEvent) -> dict[str, Any]:
    """Returns the fields of an event by name, as the ledger writes them."""
    return {name: getattr(event, name) for name in _field_names(event.name)}


def from_fields(name: str, values: Mapping[str, Any]) -> RunEvent | None:
    """Returns the event with a name and fields that came from JSON; None for a name that this version does not know.

    Fields that the event does not have are ignored: a newer version may have written them.

    Raises:
        ValueError: a field is missing, or has a value of another type.
    """
    if name not in _known():
        return None
    if _may_be_harmful(values.values()):
        values = {key: harmless(value) if isinstance(value, str) else value for key, value in values.items()}
    event: RunEvent = _adapter(name).validate_python(values)
    return event


def _may_be_harmful(values: Iterable[Any]) -> bool:
    for value in values:  # noqa: SIM110 - the loop takes half the time of `any`, and ledgers have 100,000 events
        if type(value) is str and not value.isprintable():
            return True
    return False


def upgrade(name: str, values: dict[str, Any], version: int) -> tuple[str, dict[str, Any]]:
    """Returns the name and the fields that an event of an earlier format has in the present format.

    Args:
        name: name of the event.
        values: its fields.
        version: format of its ledger, one of `EARLIER_FORMATS`.
    """
    if version == FIRST_FORMAT:
        name, values = _second_format(name, values)
    facts = values.get("facts")
    if isinstance(facts, dict):  # of a damaged line it may be anything, which is for `from_fields` to refuse
        values = {**values, "facts": {_RENAMED_FACTS.get(key, key): value for key, value in facts.items()}}
    return name, values


def _second_format(name: str, values: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """Returns an event of format 1 in format 2, which has the measurements of a layer in `facts`."""
    if name in {"layer_ended", "layer_stopped"}:
        known = _field_names(name)
        facts = {key: value for key, value in values.items() if key not in known}
        return name, {**{key: value for key, value in values.items() if key in known}, "facts": facts}
    renamed = _RENAMED_FIELDS.get(name, {})
    return _RENAMED_EVENTS.get(name, name), {renamed.get(key, key): value for key, value in values.items()}


@cache
def _known() -> dict[str, type[Any]]:
    """Returns all events by name; a class with subclasses is only their base."""
    found: dict[str, type[Any]] = {}
    waiting: list[type[RunEvent]] = [RunEvent]
    while waiting:
        kind = waiting.pop()
        waiting += kind.__subclasses__()
        if not kind.__subclasses__():
            found[kind.name] = kind
    return found


@cache
def _field_names(name: str) -> tuple[str, ...]:
    return tuple(each.name for each in fields(_known()[name]))


@cache
def _adapter(name: str) -> TypeAdapter[Any]:
    from pydantic import TypeAdapter  # here: writers of events need no validation

    return TypeAdapter(_known()[name])
