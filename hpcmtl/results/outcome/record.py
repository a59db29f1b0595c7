"""The last attempt at a run, from its ledger, and whether the completion record is that of this attempt."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from hpcmtl.results.rundir.directory import RunDirectory


@dataclass(frozen=True)
class AttemptRecord:
    """The last attempt that a ledger knows of.

    Attributes:
        number: 1, 2, ...; 0 if none has begun.
        id: what the batch script called it (`HPCMTL_ATTEMPT_ID`); empty outside of one.
        cancelled_by: who cancelled the whole job in this attempt; empty if nobody did. The run is then not to be
            tried again by itself.
    """

    number: int = 0
    id: str = ""
    cancelled_by: str = ""


def last_attempt(events: Iterable[Mapping[str, Any]]) -> AttemptRecord:
    """The last attempt, from the events of a ledger."""
    attempt = AttemptRecord()
    for event in events:
        if event["event"] == "job_started":
            attempt = AttemptRecord(int(event.get("attempt") or attempt.number + 1), str(event.get("attempt_id", "")))
        elif event["event"] == "request_accepted" and event.get("verb") == "cancel" and not event.get("task"):
            attempt = AttemptRecord(attempt.number, attempt.id, str(event.get("by", "somebody")))
    return attempt


def read_record(run: RunDirectory) -> Mapping[str, Any] | None:
    """The completion record that is there, of whichever attempt; None if there is none that can be read."""
    try:
        record = json.loads(run.results_file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return record if isinstance(record, dict) and "status" in record else None


def record_of(run: RunDirectory, attempt: AttemptRecord) -> Mapping[str, Any] | None:
    """The completion record of an attempt; None while it has none: that of an earlier one is no word on this one."""
    record = read_record(run)
    if record is None:
        return None
    own = (record.get("attempt", attempt.number), record.get("attempt_id", attempt.id))
    return record if attempt.number == 0 or own == (attempt.number, attempt.id) else None
