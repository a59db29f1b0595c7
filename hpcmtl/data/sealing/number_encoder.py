"""Encoder of numbers and dates: standardised by the train rows, or as they are."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from hpcmtl.data.sealing.dates import EPOCHS, numbers_of_dates
from hpcmtl.data.sealing.encoder import EncoderBase, OutputArray
from hpcmtl.data.sealing.findings import shown
from hpcmtl.data.sealing.moments import Moments

if TYPE_CHECKING:
    from hpcmtl.arrays import Arrays, Bools, Floats
    from hpcmtl.data.sealing.cells import Cells
    from hpcmtl.data.sealing.rules import ColumnRule

_EXACT = 2**24  # float32 holds every whole number up to here


class NumberEncoder(EncoderBase):
    """Stores numbers; a column in a dataset with others becomes float32."""

    def __init__(self, where: str, name: str, rule: ColumnRule) -> None:
        super().__init__(where, name, rule)
        self.moments = Moments()
        self._low, self._high = np.inf, -np.inf
        self._whole = rule.kind == "numeric"
        self.fill = 0.0

    def see(self, cells: Cells, train: Bools, start: int) -> None:
        """See `ColumnEncoder`."""
        values, missing = self._numbers(cells, start)
        self.count_missing(cells.missing, start)
        infinite = np.isinf(values) & ~missing
        if infinite.any():
            self.findings.note(
                "a network needs finite numbers; leave the row out or empty the cell", infinite, start, "holds Inf"
            )
            missing = missing | infinite
        present = values if not missing.any() else values[~missing]
        if len(present):
            self._low, self._high = min(self._low, float(present.min())), max(self._high, float(present.max()))
        if self._whole:
            self._whole = cells.values.dtype.kind in "iub" and cells.words is None
        chosen = train & ~missing
        self.moments = self.moments.merged(values if chosen.all() else values[chosen])

    def _numbers(self, cells: Cells, start: int) -> tuple[Floats, Bools]:
        """Returns the cells as float64, and which are missing; cells that are no numbers are noted."""
        if self.rule.kind == "date":
            return numbers_of_dates(cells, self.rule, self.findings, start)
        if cells.words is None:
            if cells.values.dtype.kind in "Mm":
                every = np.arange(len(cells.values))
                self.findings.note("write `kind: date`", every, start, f"holds the date {shown(cells.values[0])}")
                return np.zeros(len(every)), cells.missing
            return cells.values.astype(np.float64, copy=False), cells.missing
        parsed = [_number(str(word)) for word in cells.words]
        table = np.array([0.0 if each is None else each for each in parsed] or [0.0])
        bad = np.array([each is None for each in parsed] or [False])[cells.values] & ~cells.missing
        if bad.any():
            word = cells.words[cells.values[np.flatnonzero(bad)[0]]]
            remedy = "write a number, list the text under `missing_values`, or give the column `kind: categorical`"
            self.findings.note(remedy, bad, start, f"holds {shown(word)}, which is no number")
        return table[cells.values], cells.missing | bad

    def fix(self) -> None:
        """See `ColumnEncoder`."""
        rule = self.rule
        if rule.missing == "value":
            number = _number(str(rule.value))
            if number is None:
                self.findings.note(
                    "write a number for `value`", np.zeros(1, np.int64), 0, f"would get {shown(rule.value)}"
                )
            self.fill = number or 0.0
        elif rule.missing in {"mean", "mask"}:
            self.fill = self.moments.mean
        needs_train = rule.standardise or (rule.missing in {"mean", "mask"} and self.absent)
        if needs_train and not self.moments.count and not self.findings.problems():
            remedy = "leave the column out (`kind: skip`)"
            self.findings.note(
                remedy, np.zeros(1, np.int64), 0, "and all other train rows are empty, so there is no mean"
            )
        if (
            rule.dataset is not None
            and not rule.standardise
            and self._whole
            and max(abs(self._low), abs(self._high)) > _EXACT
        ):
            remedy = f"whole numbers above {_EXACT} merge there: write `standardise: true`"
            found = f"or another one holds {max(self._low, self._high, key=abs):.0f}, which float32 does not hold"
            self.findings.note(remedy, np.zeros(1, np.int64), 0, found)

    def outputs(self) -> dict[str, OutputArray]:
        """See `ColumnEncoder`."""
        exact = not self.rule.standardise and self.rule.dataset is None
        whole = exact and self._whole and not self.absent
        dtype = np.dtype(np.int64) if whole else np.dtype(np.float64) if exact else np.dtype(np.float32)
        return self.with_mask_output({self.name: OutputArray(shape=(), dtype=dtype, attributes=self.attributes())})

    def attributes(self) -> dict[str, Any]:
        """Returns the attributes that undo the encoding."""
        units = EPOCHS[self.rule.unit] if self.rule.kind == "date" else self.rule.units
        own: dict[str, Any] = {} if units is None else {"units": units}
        if self.rule.standardise:
            own.update(mean=self.moments.mean, deviation=self.moments.deviation)
        return own

    def encode(self, cells: Cells, start: int) -> Arrays:
        """See `ColumnEncoder`."""
        output = self.outputs()[self.name]
        if output.dtype.kind == "i" and not cells.missing.any():
            return self.with_mask({self.name: cells.values.astype(np.int64)}, cells.missing)
        values, missing = self._numbers(cells, start)
        if missing.any():
            values = np.where(missing, self.fill, values)
        if self.rule.standardise:
            values = (values - self.moments.mean) / self.moments.deviation
        return self.with_mask({self.name: values.astype(output.dtype, copy=False)}, missing)

    def summary(self) -> str:
        """See `ColumnEncoder`."""
        if self._low > self._high:
            return "no value"
        units = f" {EPOCHS[self.rule.unit]}" if self.rule.kind == "date" else ""
        text = f"{self._low:.6g} to {self._high:.6g}{units}"
        if self.rule.standardise:
            same = ", all train rows the same" if self.moments.low == self.moments.high else ""
            text += f", standardised (mean {self.moments.mean:.6g}, deviation {self.moments.deviation:.6g}{same})"
        return text


def _number(word: str) -> float | None:
    try:
        number = float(word.strip())
    except ValueError:
        return None
    return None if math.isnan(number) else number
