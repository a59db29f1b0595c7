"""Text output of a plan: a table, a Gantt chart and a summary."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich import box
from rich.table import Table

from hpcmtl.layerplan.report.names import shortened

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console

    from hpcmtl.layerplan.plan import LayerPlan, PlannedTask

OTHER_COLUMNS = 68  # characters of a line of the table beside the name
SHORTEST = 14  # characters of a name that are always shown
CHART_ROWS = 16  # with more ranks, a row of the chart represents several


def print_plan(plan: LayerPlan, console: Console) -> None:
    """Prints table, chart and summary; plain ASCII if the output is not a terminal or `NO_COLOR` is set."""
    plain = _is_plain(console)
    console.print(plan_table(plan, plain=plain, width=console.width))
    for text in ("", gantt(plan, console.width, plain=plain), "", *summary_lines(plan)):
        console.print(text, markup=False, highlight=False, soft_wrap=True)


def plan_table(plan: LayerPlan, *, plain: bool = False, width: int = 1000) -> Table:
    """Returns a table with one row per task, sorted by planned start.

    Args:
        plan: the plan.
        plain: draw with ASCII only.
        width: columns of the terminal. Names that do not fit lose letters in their middle; names that would then be
            the same are broken into lines.
    """
    table = Table(box=box.ASCII if plain else box.SIMPLE_HEAD)
    shown = _shown_names([task.name for task in plan.tasks], max(width - OTHER_COLUMNS, SHORTEST), plain=plain)
    table.add_column("task", overflow="fold", min_width=min(max(map(len, shown.values()), default=0), SHORTEST))
    table.add_column("kind")
    for name in ("layers", "ranks", "first rank", "start s", "end s"):
        table.add_column(name, justify="right")
    table.add_column("critical", justify="center")
    for task in sorted(plan.tasks, key=lambda task: (task.start, task.order)):
        numbers = (str(task.layers), str(task.width), str(task.first_rank), f"{task.start:.2f}", f"{task.end:.2f}")
        mark = ("*" if plain else "●") if task.critical else ""
        table.add_row(shown[task.name], task.kind, *numbers, mark, style="bold" if task.critical else None)
    return table


def comparison_table(plans: Sequence[LayerPlan], *, plain: bool = False) -> Table:
    """Returns a table with one row per policy, the shortest plan first."""
    table = Table(box=box.ASCII if plain else box.SIMPLE_HEAD)
    table.add_column("policy")
    for name in ("layers", "makespan s", "over own bound %", "utilisation %", "times the best"):
        table.add_column(name, justify="right")
    best = min(plan.makespan for plan in plans)
    for plan in sorted(plans, key=lambda plan: (plan.makespan, plan.policy)):
        numbers = (
            str(sum(task.layers for task in plan.tasks)),
            f"{plan.makespan:.2f}",
            f"{100 * plan.gap:.1f}",
            f"{100 * plan.utilisation:.0f}",
            f"{plan.makespan / best:.2f}",
        )
        table.add_row(plan.policy, *numbers)
    return table


def print_comparison(plans: Sequence[LayerPlan], console: Console) -> None:
    """Prints the comparison of policies, with the style rules of `print_plan`."""
    console.print(comparison_table(plans, plain=_is_plain(console)))
    for line in comparison_lines(plans):
        console.print(line, markup=False, highlight=False, soft_wrap=True)


def comparison_lines(plans: Sequence[LayerPlan]) -> tuple[str, ...]:
    """Returns what must be known to compare plans whose tasks have different numbers of layers."""
    layers = {plan.policy: tuple(task.layers for task in plan.tasks) for plan in plans}
    if len(set(layers.values())) < 2:
        return ()
    return (
        "Each bound holds for the layers of its own policy, so plans with 0 % may differ: every layer costs a start.",
        "To take the layers of `fixed` for a job, write `layers: {policy: fixed, count: N}`.",
    )


def summary_lines(plan: LayerPlan) -> tuple[str, ...]:
    """Returns makespan, lower bound, gap and utilisation as text."""
    bound = f"at most {100 * plan.gap:.1f} % from optimal for its layers"
    return (
        f"policy {plan.policy}, {plan.size}" + (", barriers" if plan.barrier else ""),
        f"makespan    {plan.makespan:.2f} s (predicted)",
        f"lower bound {plan.lower_bound:.2f} s, so this plan is {bound}",
        f"utilisation {100 * plan.utilisation:.0f} %",
    )


def gantt(plan: LayerPlan, width: int, *, plain: bool = False) -> str:
    """Draws ranks (rows) over time (columns), with the name of each task at its start.

    Args:
        plan: the plan.
        width: columns of the terminal.
        plain: use ASCII only.
    """
    per_row = -(-plan.ranks // CHART_ROWS)
    labels = [_label(first, min(first + per_row, plan.ranks) - 1) for first in range(0, plan.ranks, per_row)]
    margin = max(len(label) for label in labels) + 1
    cells = max(width - margin - 1, 10)
    rows = [[" "] * cells for _ in labels]
    for task in sorted(plan.tasks, key=lambda task: (task.start, task.order)):
        begin = int(task.start / plan.makespan * cells)
        end = max(int(task.end / plan.makespan * cells), begin + 1)
        for row in range(task.first_rank // per_row, (task.first_rank + task.width - 1) // per_row + 1):
            rows[row][begin:end] = _block(task, end - begin, plain=plain)
    chart = [f"{label:>{margin - 1}} {''.join(row)}".rstrip() for label, row in zip(labels, rows, strict=True)]
    end_label = f"{plan.makespan:.2f} s"
    axis = f"{'':{margin}}0{end_label:>{cells - 1}}"
    return "\n".join([f"{'rank':>{margin - 1}}", *chart, axis])


def _shown_names(names: Sequence[str], most: int, *, plain: bool) -> dict[str, str]:
    """Returns names of up to `most` characters, with dots in place of the middle; all whole if two were the same."""
    shown = {name: shortened(name, most, _dots(plain=plain)) for name in names}
    return shown if len(set(shown.values())) == len(shown) else {name: name for name in names}


def _dots(*, plain: bool) -> str:
    return "..." if plain else "…"


def _is_plain(console: Console) -> bool:
    return not console.is_terminal or console.no_color


def _label(first: int, last: int) -> str:
    return str(first) if first == last else f"{first}-{last}"


def _block(task: PlannedTask, cells: int, *, plain: bool) -> list[str]:
    edge, fill = ("|", "=" if task.critical else "-") if plain else ("▕", "━" if task.critical else "─")
    name = shortened(task.name, cells - 1, _dots(plain=plain)) if cells > SHORTEST else task.name
    return list((edge + name).ljust(cells, fill)[:cells]) if cells > 1 else [edge]
