"""A time limit is read as people and Slurm write it, and what it cuts off is named."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from plans import TASKS, plan_of

from hpcmtl.errors import InputError
from hpcmtl.layerplan.report.limit import cut_off, limit_lines, parse_duration

PLAN = plan_of(TASKS, ranks=4)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90", 90.0),
        ("1.5", 1.5),
        ("90s", 90.0),
        ("45m", 2700.0),
        ("1h30m", 5400.0),
        ("1.5H", 5400.0),
        ("1d", 86400.0),
        ("10:00", 600.0),
        ("1:00:00", 3600.0),
        ("2-00:00:01", 172801.0),
    ],
)
def test_times(text: str, seconds: float) -> None:
    """Numbers with units, plain seconds, and Slurm's form."""
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "0", "0s", "-5m", "5 parsecs", "1:2:3:4", "1h 30", "nan", "inf", "10:0"])
def test_no_times(text: str) -> None:
    """Anything else is refused, with examples."""
    with pytest.raises(InputError, match="write 90s, 45m, 1h30m"):
        parse_duration(text)


@given(st.floats(0.01, 100))
def test_what_does_not_fit(limit: float) -> None:
    """Exactly the tasks are named whose end, should all be late, is after the limit, and no line is lost."""
    late = cut_off(PLAN, limit)

    assert {task.name for task in late} == {task.name for task in TASKS if task.late_end > limit}
    assert len(limit_lines(PLAN, limit)) == 1 + len(late)


def test_words() -> None:
    """A task that surely does not fit is told from one that fits only if all goes well."""
    assert limit_lines(PLAN, 8.0) == (
        "time limit  8 s: 1 of 3 tasks may not end in time",
        "  a<b & co: planned to end at 10.00 s: does not fit",
    )
    assert limit_lines(PLAN, 12.0)[1] == "  a<b & co: planned to end at 10.00 s: fits unless all is late: 15.00 s (P90)"
    assert limit_lines(PLAN, 15.0) == ("time limit  15 s: everything ends in time, by 15 s even if all is late (P90)",)
