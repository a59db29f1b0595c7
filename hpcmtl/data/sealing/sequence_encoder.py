"""Encoder of sequences of numbers, which are stored as they are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from hpcmtl.data.sealing.encoder import EncoderBase, OutputArray
from hpcmtl.data.sealing.findings import shown

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hpcmtl.arrays import Bools
    from hpcmtl.data.sealing.cells import Cells
    from hpcmtl.data.sealing.rules import ColumnRule
    from hpcmtl.data.sequences import SampleRows


class SequenceEncoder(EncoderBase):
    """Stores samples of different lengths as a ragged dataset."""

    def __init__(self, where: str, name: str, rule: ColumnRule) -> None:
        super().__init__(where, name, rule)
        self._shape: tuple[int, ...] = ()
        self._dtype: np.dtype[Any] = np.dtype(np.float32)
        self._longest = 0

    def see(self, cells: Cells, train: Bools, start: int) -> None:
        """See `ColumnEncoder`."""
        if cells.sequences is None:
            remedy = "give it by `sequences_of`, or write another `kind`"
            self.findings.note(remedy, np.arange(len(cells.values)), start, "is no sequence")
            return
        values = cells.sequences.values
        self._shape, self._dtype = values.shape[1:], values.dtype.newbyteorder("=")
        self._longest = max(self._longest, cells.sequences.shape[1])
        wrong, found = np.zeros(len(values), np.bool_), "holds NaN or Inf"
        if values.dtype.kind == "f":
            wrong = ~np.isfinite(values).all(axis=tuple(range(1, values.ndim)))
        elif self.rule.classes:
            outside = (values < 0) | (values >= len(self.rule.classes))
            wrong = outside.any(axis=tuple(range(1, values.ndim)))
            found = f"holds {shown(values[outside][0])}" if wrong.any() else ""
        samples = np.repeat(np.arange(len(cells.sequences)), cells.sequences.lengths)
        bad = np.bincount(samples, weights=wrong, minlength=len(cells.sequences)) > 0
        self.findings.note("a network needs finite numbers, and classes that have a name", bad, start, found)

    def fix(self) -> None:
        """See `ColumnEncoder`."""
        if not self._longest:
            self.findings.note("give at least one value", np.zeros(1, np.int64), 0, "is empty, as all others are")

    def outputs(self) -> dict[str, OutputArray]:
        """See `ColumnEncoder`."""
        given = {"classes": self.rule.classes, "scale": self.rule.scale, "units": self.rule.units}
        attributes = {key: value for key, value in given.items() if value is not None}
        return {self.name: OutputArray(shape=self._shape, dtype=self._dtype, attributes=attributes, ragged=True)}

    def encode(self, cells: Cells, start: int) -> Mapping[str, SampleRows]:
        """See `ColumnEncoder`."""
        return {} if cells.sequences is None else {self.name: cells.sequences}

    def summary(self) -> str:
        """See `ColumnEncoder`."""
        return f"{self._dtype}, sequences of up to {self._longest} values of shape {self._shape}"
