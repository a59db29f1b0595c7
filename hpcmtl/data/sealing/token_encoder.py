"""Encoder of texts: codes of their tokens, as sequences, or with padding to one length beside their number."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import numpy as np

from hpcmtl.data.sealing.cells import words_of
from hpcmtl.data.sealing.encoder import EncoderBase, OutputArray
from hpcmtl.data.sealing.rules import LONGEST, VARIABLE
from hpcmtl.data.sealing.vocabulary import token_vocabulary, tokens_of
from hpcmtl.data.sequences import sequences_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from hpcmtl.arrays import Bools
    from hpcmtl.data.sealing.cells import Cells
    from hpcmtl.data.sealing.rules import ColumnRule
    from hpcmtl.data.sequences import SampleRows

MOST_PADDED = 4096
"""Most tokens of a text if the rule gives no length: one long text would pad all others."""
_PADDING, _UNKNOWN = 0, 1


class TokenEncoder(EncoderBase):
    """Stores texts as codes; the vocabulary is that of the train rows."""

    def __init__(self, where: str, name: str, rule: ColumnRule) -> None:
        super().__init__(where, name, rule)
        self._counts: Counter[str] = Counter()
        self._longest = 0
        self._vocabulary: tuple[str, ...] = ()
        self._code: dict[str, int] = {}

    def see(self, cells: Cells, train: Bools, start: int) -> None:
        """See `ColumnEncoder`."""
        self.count_missing(cells.missing, start)
        if cells.values.ndim > 1 or cells.values.dtype.kind in "Mm":
            self.findings.note("give another `kind`", np.arange(len(cells.values)), start, "holds no text")
            return
        places, words = words_of(cells)
        present = ~cells.missing
        counts = np.bincount(places[present & train], minlength=len(words))
        used = np.bincount(places[present], minlength=len(words)) > 0
        lengths = np.zeros(max(len(words), 1), np.int64)
        for place in np.flatnonzero(used):
            tokens = tokens_of(words[place], self.rule)
            lengths[place] = len(tokens)
            if counts[place]:
                for token in tokens:
                    self._counts[token] += int(counts[place])
        self._longest = max(self._longest, int(lengths.max()))
        most = LONGEST if self.rule.length == VARIABLE else self.rule.length or MOST_PADDED
        too_long = (lengths[places] > most) & present
        if too_long.any() and self.rule.longer == "refuse":
            larger = "" if most == LONGEST else "write a larger `length`, `length: variable`, or "
            remedy = f"the length is {most}: {larger}`longer: cut`"
            self.findings.note(remedy, too_long, start, f"has {int(lengths[places][too_long][0])} tokens")

    def fix(self) -> None:
        """See `ColumnEncoder`."""
        self._vocabulary = token_vocabulary(self._counts, self.rule.vocabulary)
        self._code = {token: code for code, token in enumerate(self._vocabulary) if code > _UNKNOWN}

    @property
    def length(self) -> int:
        """Number of tokens that are stored for each text, or the largest such number."""
        if self.rule.length == VARIABLE:
            return max(min(self._longest, LONGEST), 1)
        return self.rule.length or max(min(self._longest, MOST_PADDED), 1)

    def outputs(self) -> dict[str, OutputArray]:
        """See `ColumnEncoder`."""
        attributes = {"classes": self._vocabulary, "tokens": self.rule.by}
        if self.rule.length == VARIABLE:
            main = OutputArray(shape=(), dtype=np.dtype(np.int32), attributes=attributes, ragged=True)
            return self.with_mask_output({self.name: main})
        main = OutputArray(shape=(self.length,), dtype=np.dtype(np.int32), attributes=attributes)
        lengths = OutputArray(shape=(), dtype=np.dtype(np.int32), attributes={"units": "tokens"})
        return self.with_mask_output({self.name: main, f"{self.name}_length": lengths})

    def encode(self, cells: Cells, start: int) -> Mapping[str, SampleRows]:
        """See `ColumnEncoder`."""
        places, words = words_of(cells)
        texts = [*words, str(self.rule.value) if self.rule.missing == "value" else ""]
        places = np.where(cells.missing, len(words), places)
        if self.rule.length == VARIABLE:
            codes_of = [self._codes(tokens_of(text, self.rule)[: self.length]) for text in texts]
            return {self.name: sequences_of([codes_of[place] for place in places]), **self.with_mask({}, cells.missing)}
        table = np.full((len(texts), self.length), _PADDING, np.int32)
        lengths = np.zeros(len(texts), np.int32)
        for row, text in enumerate(texts):
            codes = self._codes(tokens_of(text, self.rule)[: self.length])
            table[row, : len(codes)], lengths[row] = codes, len(codes)
        return self.with_mask({self.name: table[places], f"{self.name}_length": lengths[places]}, cells.missing)

    def _codes(self, tokens: Sequence[str]) -> NDArray[Any]:
        return np.array([self._code.get(token, _UNKNOWN) for token in tokens], np.int32)

    def summary(self) -> str:
        """See `ColumnEncoder`."""
        known, most = len(self._code), "at most " if self.rule.length == VARIABLE else ""
        return f"{known} of {len(self._counts)} {self.rule.by} of the train rows, {most}{self.length} a text"
