"""A plan of sealing in words and as values: what was understood of a table."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hpcmtl.data.sealing.rules import VARIABLE
from hpcmtl.logs import harmless

if TYPE_CHECKING:
    from hpcmtl.data.sealing.encoder import OutputArray
    from hpcmtl.data.sealing.seal import SealPlan


def plan_values(plan: SealPlan) -> dict[str, Any]:
    """Returns a plan as values of JSON."""
    rows = len(plan.split)
    encoders = {encoder.name: encoder for encoder in plan.encoders}
    columns = []
    for name, rule in plan.rules.items():
        encoder = encoders.get(name)
        columns.append(
            {
                "column": name,
                "kind": rule.kind,
                "dataset": None if encoder is None else rule.dataset or name,
                "missing": None if encoder is None else encoder.absent / rows,
                "found": "" if encoder is None else encoder.summary(),
                "guessed": rule.guessed,
            }
        )
    datasets = {name: _shape(rows, each) for name, each in plan.outputs.items()}
    split = {"by": plan.recipe.split.by, "column": plan.recipe.split.column, **plan.split_sizes}
    return {
        "source": plan.source.where,
        "rows": rows,
        "columns": columns,
        "datasets": datasets,
        "split": split,
        "problems": [str(each) for each in plan.problems],
    }


def _shape(rows: int, output: OutputArray) -> dict[str, Any]:
    """Returns shape and type of a dataset; an axis of samples of different lengths is a word."""
    return {"shape": [rows, *([VARIABLE] if output.ragged else []), *output.shape], "dtype": str(output.dtype)}


def plan_lines(plan: SealPlan) -> list[str]:
    """Returns a plan as lines of text: a table of the columns, the datasets, and the split."""
    values = plan_values(plan)
    rows = [("column", "kind", "dataset", "missing", "found")]
    for each in values["columns"]:
        kind = each["kind"] + (" (guessed)" if each["guessed"] else "")
        missing = "" if each["missing"] is None else f"{each['missing']:.1%}"
        rows.append((each["column"], kind, each["dataset"] or "", missing, each["found"] or each["guessed"]))
    widths = [max(len(row[place]) for row in rows) for place in range(4)]
    lines = [f"{values['source']}: {values['rows']} rows"]
    lines += [
        "  ".join([*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[4]]).rstrip()
        for row in rows
    ]
    made = (f"{name} {tuple(each['shape'])} {each['dtype']}" for name, each in values["datasets"].items())
    if values["datasets"]:
        lines.append(f"datasets: {'; '.join(made)}")
    by = values["split"]["by"] + (f" of {values['split']['column']}" if values["split"]["column"] else "")
    lines.append(f"split by {by}: {', '.join(f'{count} {name}' for name, count in plan.split_sizes.items())}")
    return [one_line(line) for line in lines]


def one_line(text: str) -> str:
    """Returns a text of others as one line that a terminal shows and does not obey."""
    return harmless(text.replace("\n", "\\n").replace("\r", "\\r").replace("\t", "\\t"))
