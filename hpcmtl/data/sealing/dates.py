"""Dates as numbers: days or seconds since the start of 1970, in UTC."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING

import numpy as np

from hpcmtl.data.sealing.findings import shown

if TYPE_CHECKING:
    from hpcmtl.arrays import Bools, Floats
    from hpcmtl.data.sealing.cells import Cells
    from hpcmtl.data.sealing.findings import CellFindings
    from hpcmtl.data.sealing.rules import ColumnRule

EPOCHS = {"days": "days since 1970-01-01", "seconds": "seconds since 1970-01-01"}
_SECONDS = {"days": 86400.0, "seconds": 1.0}
_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.timezone.utc)


def numbers_of_dates(cells: Cells, rule: ColumnRule, findings: CellFindings, start: int) -> tuple[Floats, Bools]:
    """Returns dates as numbers of the rule's unit, and which are missing; cells that are no dates are noted."""
    if cells.values.dtype.kind == "M":
        whole = cells.values.astype("datetime64[us]").astype(np.int64)
        return np.where(cells.missing, 0, whole) / (1e6 * _SECONDS[rule.unit]), cells.missing
    if cells.words is None:
        every = np.arange(len(cells.values))
        remedy = "give dates as text, e.g. 2024-05-31, or write `kind: numeric`"
        findings.note(remedy, every, start, f"holds {shown(cells.values[0])}, which is no date")
        return np.zeros(len(every)), cells.missing
    parsed = [seconds_of(str(word), rule.format) for word in cells.words]
    bad = np.array([each is None for each in parsed] or [False])[cells.values] & ~cells.missing
    if bad.any():
        word = cells.words[cells.values[np.flatnonzero(bad)[0]]]
        form = "2024-05-31 or 2024-05-31T12:30:00" if rule.format is None else rule.format
        remedy = f"write dates of the form {form}, or give another `format`"
        findings.note(remedy, bad, start, f"holds {shown(word)}, which is no such date")
    table = np.array([0.0 if each is None else each for each in parsed] or [0.0]) / _SECONDS[rule.unit]
    return table[cells.values], cells.missing | bad


def seconds_of(word: str, form: str | None) -> float | None:
    """Returns a date as seconds since the start of 1970; None for a text that is no date. No time zone means UTC."""
    try:
        if form is None:
            found = dt.datetime.fromisoformat(word.strip().replace("Z", "+00:00"))
        else:
            found = dt.datetime.strptime(word.strip(), form)  # noqa: DTZ007 - the zone is set below
        found = found if found.tzinfo else found.replace(tzinfo=dt.timezone.utc)
        return (found - _EPOCH).total_seconds()
    except (ValueError, OverflowError):
        return None
