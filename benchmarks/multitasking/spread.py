"""Means over seeds, and tables of them."""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

Rows = dict[str, dict[str, list[float]]]
"""Row -> column -> values, one for each seed."""


def spread(values: Sequence[float]) -> dict[str, Any]:
    """Returns mean, sample standard deviation (0 of one value) and the values."""
    deviation = statistics.stdev(values) if len(values) > 1 else 0.0
    return {"mean": statistics.fmean(values), "deviation": deviation, "values": list(values)}


def text_of(values: Sequence[float], digits: int) -> str:
    """Returns mean and deviation as text; a deviation is left out if there is one value alone."""
    found = spread(values)
    mean = f"{found['mean']:.{digits}f}"
    return mean if len(values) == 1 else f"{mean} ± {found['deviation']:.{digits}f}"


def print_table(title: str, rows: Mapping[str, Mapping[str, Sequence[float]]], digits: int = 3) -> dict[str, Any]:
    """Prints a table of means and deviations, and returns them with the values.

    Args:
        title: heading of the first column.
        rows: row -> column -> values; a row may lack columns.
        digits: decimal places.
    """
    columns = list(dict.fromkeys(column for row in sorted(rows.values(), key=len, reverse=True) for column in row))
    print("| " + " | ".join([title, *columns]) + " |\n" + "|---" * (1 + len(columns)) + "|")
    for name, row in rows.items():
        cells = [text_of(row[column], digits) if column in row else "" for column in columns]
        print("| " + " | ".join([name, *cells]) + " |", flush=True)
    return {name: {column: spread(values) for column, values in row.items()} for name, row in rows.items()}
