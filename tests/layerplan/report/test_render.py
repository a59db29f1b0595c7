from __future__ import annotations

import io
from dataclasses import replace

import pytest
from plans import plan_of, planned
from rich.console import Console

from hpcmtl.layerplan.report.render import comparison_lines, gantt, print_plan, summary_lines

PLAN = plan_of(
    (
        planned("trunk", (0, 5), (0, 3), critical=True),
        planned("a", (5, 10), (0, 2)),
        planned("b", (5, 8), (2, 1)),
    ),
    ranks=3,
)


def test_chart_shows_ranks_over_time() -> None:
    """Each rank is a row, each task a block with its name, critical ones drawn heavier."""
    assert gantt(PLAN, 23, plain=True).splitlines() == [
        "rank",
        "0 |trunk====|a--------",
        "1 |trunk====|a--------",
        "2 |trunk====|b----",
        "  0            10.00 s",
    ]


def test_chart_of_many_ranks_stays_on_the_screen() -> None:
    """With more ranks than rows each row stands for several."""
    plan = plan_of((planned("t", (0, 10), (0, 1000)),), ranks=1000)
    rows = gantt(plan, 60, plain=True).splitlines()

    assert len(rows) <= 18
    assert "945-999 |t--" in rows[-2]
    assert max(map(len, rows)) <= 60


def test_summary_says_what_the_plan_is_worth() -> None:
    """Makespan, bound, gap and utilisation stand in words."""
    text = "\n".join(summary_lines(PLAN))

    assert all(part in text for part in ("10.00 s", "8.00 s", "25.0 %", "90 %", "3 tasks on 3 ranks")), text


def test_a_comparison_of_other_layers_says_so() -> None:
    """A bound holds for the layers of its own policy: plans with other numbers of layers say it, others say nothing."""
    fixed = replace(PLAN, policy="fixed")
    more = replace(fixed, tasks=tuple(replace(task, layers=3) for task in PLAN.tasks))

    assert comparison_lines([PLAN, fixed]) == ()
    assert "holds for the layers of its own policy" in comparison_lines([PLAN, more])[0]


@pytest.mark.parametrize(("terminal", "no_color"), [(False, False), (True, True)])
def test_output_is_plain_ascii_without_a_terminal_or_colour(terminal: bool, no_color: bool) -> None:
    """A log file, or a reader who wants no colour, gets ASCII with every task in the table."""
    out = io.StringIO()
    print_plan(PLAN, Console(file=out, width=90, force_terminal=terminal, no_color=no_color, color_system=None))

    assert out.getvalue().isascii()
    assert all(name in out.getvalue() for name in ("trunk", "first rank", "critical", "lower bound"))


def test_a_terminal_gets_lines() -> None:
    """On a terminal the chart is drawn with line characters."""
    out = io.StringIO()
    print_plan(PLAN, Console(file=out, width=90, force_terminal=True, color_system="standard"))

    assert "━" in out.getvalue()


def test_a_chart_has_line_characters_unless_it_is_plain() -> None:
    """ASCII is for those who ask for it."""
    assert "━" in gantt(PLAN, 80)
    assert gantt(PLAN, 80, plain=True).isascii()


def test_long_names_are_told_apart_in_80_columns() -> None:
    """Names lose their middle where they stay different, and are broken into lines where they would not."""
    tasks = [f"pretrain-of-the-large-encoder-fold-{i}" for i in range(3)]
    same = [f"fold-{i}-of-the-large-encoder-of-all" for i in range(3)]
    alike = [f"pretrain-of-the-{i}-large-encoder-fold" for i in range(3)]

    for names in (tasks, same, alike):
        out = io.StringIO()
        plan = replace(PLAN, tasks=tuple(planned(name, (0, 5), (0, 1)) for name in names))
        print_plan(plan, Console(file=out, width=80))
        rows = [line.split("|") for line in out.getvalue().splitlines() if line.count("|") > 5]
        first = [row[1].strip() for row in rows if row[2].strip() == "train"]
        assert len({row[1].strip() for row in rows}) > 3
        assert [("..." in cell, len(set(first)) == 3) for cell in first] == [
            (names is not alike, names is not alike)
        ] * 3


def test_long_names_are_told_apart_in_the_chart() -> None:
    """The blocks of three tasks side by side have names that lost their middle, not their end."""
    names = [f"pretrain-of-the-large-encoder-fold-{i}" for i in range(3)]
    plan = replace(PLAN, tasks=tuple(planned(name, (3 * i, 3 * i + 3), (0, 1)) for i, name in enumerate(names)))
    blocks = gantt(plan, 80, plain=True).splitlines()[1].split("|")[1:4]

    assert [("..." in block, block.rstrip("- ")[-1]) for block in blocks] == [(True, str(i)) for i in range(3)]


def test_the_bound_is_that_of_the_plans_own_layers() -> None:
    """Another number of layers may give a shorter plan: the summary of one plan says what its bound holds for."""
    assert any(line.endswith("from optimal for its layers") for line in summary_lines(PLAN))
