"""Encoder of arrays: numbers of any shape, stored as they are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from hpcmtl.data.sealing.encoder import EncoderBase, OutputArray
from hpcmtl.data.sealing.findings import shown

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from hpcmtl.arrays import Arrays, Bools
    from hpcmtl.data.sealing.cells import Cells
    from hpcmtl.data.sealing.rules import ColumnRule

_ONE = np.zeros(1, np.int64)


class ArrayEncoder(EncoderBase):
    """Stores numbers in their own type; truth values become uint8."""

    def __init__(self, where: str, name: str, rule: ColumnRule) -> None:
        super().__init__(where, name, rule)
        self._shape: tuple[int, ...] | None = None
        self._dtype: np.dtype[Any] = np.dtype(np.uint8)
        self._low, self._high = np.inf, -np.inf

    def see(self, cells: Cells, train: Bools, start: int) -> None:
        """See `ColumnEncoder`."""
        values = cells.values
        if cells.words is not None or values.dtype.kind not in "iufb":
            found = "holds text" if cells.words is not None else "holds a date"
            self.findings.note("write `kind: categorical`, tokens or date", np.arange(len(values)), start, found)
            return
        self._shape = values.shape[1:] if self._shape is None else self._shape
        if values.shape[1:] != self._shape:
            remedy = f"the rows before have {self._shape}; give all rows one shape"
            self.findings.note(remedy, np.arange(len(values)), start, f"has the shape {values.shape[1:]}")
            return
        own = values.dtype.newbyteorder("=")
        self._dtype = np.result_type(self._dtype, own) if start else own
        missing = self._missing(cells)
        self.count_missing(missing, start)
        if values.dtype.kind == "f":
            infinite = np.isinf(values).reshape(len(values), -1).any(axis=1)
            self.findings.note("a network needs finite numbers", infinite, start, "holds Inf")
        if values.size:
            with np.errstate(invalid="ignore"):
                self._low = min(self._low, float(np.nanmin(values)) if not missing.all() else np.inf)
                self._high = max(self._high, float(np.nanmax(values)) if not missing.all() else -np.inf)
        self._check_classes(values, missing, start)

    @staticmethod
    def _missing(cells: Cells) -> Bools:
        values = cells.values
        if values.dtype.kind != "f" or values.ndim == 1:
            return cells.missing
        missing: Bools = cells.missing | np.isnan(values).reshape(len(values), -1).any(axis=1)
        return missing

    def _check_classes(self, values: NDArray[Any], missing: Bools, start: int) -> None:
        count = len(self.rule.classes or ())
        if count and not missing.all():
            bad = ((values < 0) | (values >= count)).reshape(len(values), -1).any(axis=1) & ~missing
            found = f"holds {shown(values[bad].reshape(-1)[0])}" if bad.any() else ""
            self.findings.note(f"{count} `classes` are declared: write 0 to {count - 1}", bad, start, found)

    def fix(self) -> None:
        """See `ColumnEncoder`."""
        if self.rule.missing == "value" and isinstance(self.rule.value, str):
            self.findings.note("write a number for `value`", _ONE, 0, f"would get {self.rule.value!r}")

    def outputs(self) -> dict[str, OutputArray]:
        """See `ColumnEncoder`."""
        given = {"classes": self.rule.classes, "scale": self.rule.scale, "units": self.rule.units}
        attributes = {key: value for key, value in given.items() if value is not None}
        dtype = np.dtype(np.uint8) if self._dtype.kind == "b" else self._dtype
        return self.with_mask_output(
            {self.name: OutputArray(shape=self._shape or (), dtype=dtype, attributes=attributes)}
        )

    def encode(self, cells: Cells, start: int) -> Arrays:
        """See `ColumnEncoder`."""
        values, missing = cells.values, self._missing(cells)
        if missing.any():
            fill = values.dtype.type(self.rule.value if self.rule.missing == "value" else 0)
            values = np.where(np.isnan(values), fill, values) if values.dtype.kind == "f" else values.copy()
            if values.dtype.kind != "f":
                values[missing] = fill
        return self.with_mask({self.name: values.astype(self.outputs()[self.name].dtype, copy=False)}, missing)

    def summary(self) -> str:
        """See `ColumnEncoder`."""
        span = f", {self._low:.6g} to {self._high:.6g}" if self._low <= self._high else ""
        return f"{self._dtype} of shape {self._shape}{span}"
