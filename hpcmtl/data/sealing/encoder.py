"""The seam of columns: an encoder sees all cells once, and then turns them into arrays block by block."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from hpcmtl.data.sealing.findings import CellFindings

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from hpcmtl.arrays import Bools
    from hpcmtl.data.sealing.cells import Cells
    from hpcmtl.data.sealing.rules import ColumnRule
    from hpcmtl.data.sequences import SampleRows


@dataclass(frozen=True, kw_only=True)
class OutputArray:
    """Describes a dataset before it is written.

    Attributes:
        shape: shape of one sample.
        dtype: type of the values.
        attributes: attributes of the dataset.
        ragged: whether a sample is a sequence of any length of values of this shape.
    """

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    attributes: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))
    ragged: bool = False


class ColumnEncoder(Protocol):
    """Turns the cells of one column into arrays.

    Attributes:
        name: name of the column.
        rule: its rule.
        findings: problems of its cells.
        absent: number of missing cells.
    """

    name: str
    rule: ColumnRule
    findings: CellFindings
    absent: int

    def see(self, cells: Cells, train: Bools, start: int) -> None:
        """Takes a block into the statistics, which are those of the `train` rows, and checks it."""

    def fix(self) -> None:
        """Ends the statistics; problems of the whole column are noted."""

    def outputs(self) -> dict[str, OutputArray]:
        """Returns the datasets of the column, the main one first."""

    def encode(self, cells: Cells, start: int) -> Mapping[str, SampleRows]:
        """Returns the rows of each dataset."""

    def summary(self) -> str:
        """Returns in words what was learned about the column."""


_NOT_EMPTY = "; if a text such as NA or nan is a class or a word, list the texts of empty cells under `missing_values`"


class EncoderBase:
    """Counts missing cells and refuses them, or says which are known."""

    def __init__(self, where: str, name: str, rule: ColumnRule) -> None:
        self.name = name
        self.rule = rule
        self.findings = CellFindings(f"{where}: column {name!r}")
        self.absent = 0

    def count_missing(self, missing: Bools, start: int) -> None:
        """Counts the missing cells of a block, and notes them if the rule refuses them."""
        self.absent += int(np.count_nonzero(missing))
        if self.rule.missing == "refuse":
            ways = "mean, value or mask" if self.rule.kind in {"numeric", "date"} else "value or mask"
            ways = {"image": "mask", "array": "value"}.get(self.rule.kind, ways)
            named = "" if self.rule.kind not in {"categorical", "one_hot", "tokens"} else _NOT_EMPTY
            remedy = f"fill it in, leave the row out, or write `missing: {ways}`{named}"
            self.findings.note(remedy, missing, start, "is empty")

    @property
    def mask_name(self) -> str:
        """Name of the dataset that tells which cells are known."""
        return f"{self.name}_mask"

    def with_mask(self, arrays: dict[str, NDArray[Any]], missing: Bools) -> dict[str, NDArray[Any]]:
        """Returns arrays of a block with those that tell which cells are known, if the rule asks for them."""
        return {**arrays, self.mask_name: (~missing).astype(np.uint8)} if self.rule.missing == "mask" else arrays

    def with_mask_output(self, outputs: dict[str, OutputArray]) -> dict[str, OutputArray]:
        """Returns datasets, with the one that tells which cells are known if the rule asks for it."""
        mask = OutputArray(shape=(), dtype=np.dtype(np.uint8), attributes={"units": "1 known, 0 missing"})
        return {**outputs, self.mask_name: mask} if self.rule.missing == "mask" else outputs
