"""Encoders of categories: as codes, or one-hot."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from hpcmtl.data.contract import MAX_CLASSES
from hpcmtl.data.sealing.cells import words_of
from hpcmtl.data.sealing.encoder import EncoderBase, OutputArray
from hpcmtl.data.sealing.findings import shown
from hpcmtl.data.sealing.vocabulary import UNKNOWN, ordered_classes

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from hpcmtl.arrays import Arrays, Bools, Ints
    from hpcmtl.data.sealing.cells import Cells
    from hpcmtl.data.sealing.rules import ColumnRule

_ONE = np.zeros(1, np.int64)


class CategoryEncoder(EncoderBase):
    """Stores the code of a class, or one number for each class.

    With `unknown: code` the vocabulary is that of the train rows; otherwise a class may be in any row.
    """

    def __init__(self, where: str, name: str, rule: ColumnRule) -> None:
        super().__init__(where, name, rule)
        self._counts: dict[str, int] = {}
        self._declared = frozenset(rule.classes or ())
        self._too_many = False
        self.classes: tuple[str, ...] = rule.classes or ()
        self._code: dict[str, int] = {}

    def see(self, cells: Cells, train: Bools, start: int) -> None:
        """See `ColumnEncoder`."""
        self.count_missing(cells.missing, start)
        if cells.values.ndim > 1 or cells.values.dtype.kind in "Mm":
            every = np.arange(len(cells.values))
            self.findings.note("give another `kind`", every, start, "holds no text, number or truth value of its own")
            return
        places, words = words_of(cells)
        chosen = ~cells.missing & train if self.rule.unknown == "code" else ~cells.missing
        for word, count in zip(words, np.bincount(places[chosen], minlength=len(words)).tolist(), strict=False):
            if count and not self._too_many:
                self._counts[word] = self._counts.get(word, 0) + count
        if self._declared and self.rule.unknown == "refuse":
            bad = np.array([word not in self._declared for word in words] or [False])[places] & chosen
            if bad.any():
                word = words[places[np.flatnonzero(bad)[0]]]
                remedy = f"is not among the {len(self._declared)} `classes`: add it, or write `unknown: code`"
                self.findings.note(remedy, bad, start, f"holds {shown(word)}")
        if len(self._counts) > MAX_CLASSES and not self._declared:
            self._too_many = True

    def fix(self) -> None:
        """See `ColumnEncoder`."""
        fill = str(self.rule.value) if self.rule.missing == "value" else None
        if self._too_many:
            remedy = "write another `kind`, such as tokens or skip"
            self.findings.note(remedy, _ONE, 0, f"and others hold more than {MAX_CLASSES} different values")
            return
        if not self._declared:
            self.classes = ordered_classes([*self._counts, *([fill] if fill is not None and self.absent else [])])
        elif fill is not None and fill not in self._declared:
            self.findings.note("write one of the `classes` for `value`", _ONE, 0, f"would get {fill!r}")
        if not self.classes:
            self.findings.note("leave the column out (`kind: skip`)", _ONE, 0, "and all others are empty")
        if self.rule.unknown == "code":
            self.classes = (*(each for each in self.classes if each != UNKNOWN), UNKNOWN)
        self._code = {word: code for code, word in enumerate(self.classes)}

    def outputs(self) -> dict[str, OutputArray]:
        """See `ColumnEncoder`."""
        if self.rule.kind == "one_hot":
            main = OutputArray(
                shape=(len(self.classes),), dtype=np.dtype(np.float32), attributes={"columns": self.columns()}
            )
        else:
            main = OutputArray(shape=(), dtype=np.dtype(np.int32), attributes={"classes": self.classes})
        return self.with_mask_output({self.name: main})

    def columns(self) -> list[str]:
        """Returns the names of the numbers of a one-hot row."""
        return [f"{self.name}={each}" for each in self.classes]

    def encode(self, cells: Cells, start: int) -> Arrays:
        """See `ColumnEncoder`."""
        codes = self._codes(cells)
        if self.rule.kind == "categorical":
            return self.with_mask({self.name: codes}, cells.missing)
        rows = np.zeros((len(codes), len(self.classes)), np.float32)
        rows[np.arange(len(codes)), codes] = 1
        if self.rule.missing == "mask":
            rows[cells.missing] = 0
        return self.with_mask({self.name: rows}, cells.missing)

    def _codes(self, cells: Cells) -> NDArray[np.int32]:
        places, words = words_of(cells)
        other = self._code.get(UNKNOWN, 0) if self.rule.unknown == "code" else 0
        table: Ints = np.array([self._code.get(word, other) for word in words] or [0])
        fill = self._code.get(str(self.rule.value), other) if self.rule.missing == "value" else 0
        return np.where(cells.missing, fill, table[places]).astype(np.int32)

    def summary(self) -> str:
        """See `ColumnEncoder`."""
        names = ", ".join(self.classes[:6]) + (", ..." if len(self.classes) > 6 else "")
        return f"{len(self.classes)} classes: {names}"
