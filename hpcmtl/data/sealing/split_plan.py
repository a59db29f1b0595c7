"""The split of a table: by row number at once, or by a pass over one column."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from hpcmtl.data.sealing.cells import words_of
from hpcmtl.data.sealing.dates import numbers_of_dates
from hpcmtl.data.sealing.findings import CellFindings, shown
from hpcmtl.data.sealing.rules import ColumnRule
from hpcmtl.data.sealing.splitting import SPLIT_NAMES, fold_codes, grouped_codes, time_codes
from hpcmtl.data.split import hash_codes, split_by_hash
from hpcmtl.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from hpcmtl.data.sealing.cells import Cells, TableBlock, TableSource
    from hpcmtl.data.sealing.rules import SplitRule
    from hpcmtl.data.sealing.splitting import SplitCodes

    Splitter = Callable[[TableBlock], SplitCodes]

_DATE = ColumnRule(kind="date", unit="seconds")


def plan_split(rule: SplitRule, source: TableSource, report: Callable[[float], None]) -> Splitter:
    """Returns a function that gives the split of the rows of a block.

    Args:
        rule: the rule.
        source: the table; its split column is read once if the split of a row depends on other rows.
        report: callback with the share of this pass that is done.

    Raises:
        InputError: cells of the split column that cannot be used.
    """
    if rule.by == "hash":
        return lambda block: hash_codes(block.start, block.start + block.rows, rule.fractions, rule.seed)
    if rule.by == "folds":
        return lambda block: fold_codes(block.start, block.start + block.rows, rule)
    if rule.by == "column":
        return lambda block: _named_codes(source, rule, block)
    codes = _codes_of_column(rule, source, report)
    return lambda block: codes[block.start : block.start + block.rows]


def _codes_of_column(rule: SplitRule, source: TableSource, report: Callable[[float], None]) -> SplitCodes:
    column, findings = str(rule.column), _findings(source, rule)
    numbers: dict[str, int] = {}
    parts: list[NDArray[Any]] = []
    for block in source.blocks([column]):
        cells = block.columns[column]
        findings.note(
            f"the split is {rule.by}: fill it in, or leave the row out", cells.missing, block.start, "is empty"
        )
        if rule.by == "time":
            parts.append(_times(cells, findings, block.start))
        else:
            parts.append(_group_numbers(cells, numbers))
        report(block.done)
    _refuse(findings)
    values = np.concatenate(parts) if parts else np.zeros(0, np.int32)
    if rule.by == "time":
        return time_codes(values, rule.fractions)
    if rule.by == "grouped":
        return grouped_codes(values, rule.fractions, rule.seed)
    return split_by_hash(len(values), rule.fractions, rule.seed, stratify=values)


def _group_numbers(cells: Cells, numbers: dict[str, int]) -> NDArray[np.int32]:
    """Returns the number of the group of each row, and adds new groups to the numbers."""
    places, words = words_of(cells)
    table = np.array([numbers.setdefault(word, len(numbers)) for word in words] or [0], np.int32)
    found: NDArray[np.int32] = table[places]
    return found


def _times(cells: Cells, findings: CellFindings, start: int) -> NDArray[Any]:
    if cells.words is None and cells.values.dtype.kind in "iuf":
        return cells.values
    return numbers_of_dates(cells, _DATE, findings, start)[0]


def _named_codes(source: TableSource, rule: SplitRule, block: TableBlock) -> SplitCodes:
    cells = block.columns[str(rule.column)]
    places, words = words_of(cells)
    table = np.array([SPLIT_NAMES.get(word.strip().lower(), 255) for word in words] or [255], np.uint8)
    codes: SplitCodes = table[places]
    bad = (codes == 255) | cells.missing
    if bad.any():
        row = int(np.flatnonzero(bad)[0])
        found = "is empty" if cells.missing[row] else f"holds {shown(words[places[row]])}"
        findings = _findings(source, rule)
        findings.note("write train, val or test, or 0, 1 or 2", bad, block.start, found)
        _refuse(findings)
    return codes


def _findings(source: TableSource, rule: SplitRule) -> CellFindings:
    return CellFindings(f"{source.where}: column {rule.column!r}")


def _refuse(findings: CellFindings) -> None:
    problems = findings.problems()
    if problems:
        raise InputError(problems)
