"""The completion record of a run, and the attempt that wrote it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hpcmtl.results.history import AttemptHistory
    from hpcmtl.results.rundir.directory import RunDirectory


def read_record(run: RunDirectory) -> Mapping[str, Any] | None:
    """Returns the completion record of any attempt; None if there is none that can be read."""
    try:
        record = json.loads(run.results_file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return record if isinstance(record, dict) and "status" in record else None


def record_of(run: RunDirectory, attempt: AttemptHistory) -> Mapping[str, Any] | None:
    """Returns the completion record of an attempt; None while only an earlier attempt has one."""
    record = read_record(run)
    if record is None:
        return None
    own = (record.get("attempt", attempt.number), record.get("attempt_id", attempt.id))
    return record if attempt.number == 0 or own == (attempt.number, attempt.id) else None
