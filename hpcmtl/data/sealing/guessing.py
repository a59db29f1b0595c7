"""Rules of columns that a recipe leaves out, guessed from the first rows of a table."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from hpcmtl.data.contract import SPLIT
from hpcmtl.data.sealing.cells import words_of
from hpcmtl.data.sealing.dates import seconds_of
from hpcmtl.data.sealing.file_tables import CLASS, IMAGES, ImageFolder, TextLines
from hpcmtl.data.sealing.rules import INPUTS, ColumnRule
from hpcmtl.errors import InputError, Problem, nearest

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hpcmtl.data.sealing.cells import Cells, TableBlock, TableSource
    from hpcmtl.data.sealing.rules import Recipe

FEW_NUMBERS = 20
"""Most different whole numbers of a target that is taken for a class."""
FEW_WORDS = 50
"""Most different texts of a column that becomes one-hot."""


def complete_rules(
    source: TableSource, first: TableBlock, recipe: Recipe, *, are_arrays: bool
) -> dict[str, ColumnRule]:
    """Returns a rule for each column, in the order of the table: that of the recipe, or a guess.

    Args:
        source: the table.
        first: its first rows.
        recipe: the recipe.
        are_arrays: true to store every column of numbers as an array of its own.

    Raises:
        InputError: the recipe has a column that the table has not.
    """
    known = first.columns
    named = [*recipe.columns, *recipe.targets, *([recipe.split.column] if recipe.split.column else [])]
    unknown = [name for name in dict.fromkeys(named) if name not in known]
    if unknown:
        problems = [
            Problem(f"{source.where}: column {name!r}", f"is not there{nearest(name, known)}") for name in unknown
        ]
        raise InputError(problems)
    if isinstance(source, ImageFolder):
        own = {
            IMAGES: ColumnRule(kind="image", guessed="files"),
            CLASS: ColumnRule(kind="categorical", guessed="folders"),
        }
        return {name: recipe.columns.get(name, own[name]) for name in known}
    if isinstance(source, TextLines):
        own = {name: ColumnRule(kind="tokens", by="words", guessed="lines of text") for name in known}
        return {name: recipe.columns.get(name, own[name]) for name in known}
    _require_sequences(source.where, known, recipe)
    return {
        name: recipe.columns.get(name) or _guess(name, cells, recipe, are_arrays=are_arrays)
        for name, cells in known.items()
    }


def _require_sequences(where: str, known: Mapping[str, Cells], recipe: Recipe) -> None:
    """Refuses rules of other kinds for columns of sequences."""
    problems = [
        Problem(f"{where}: column {name!r}", f"holds sequences, and no {rule.kind}; write `kind: sequence`")
        for name, rule in recipe.columns.items()
        if known[name].sequences is not None and rule.kind not in {"sequence", "skip"}
    ]
    if problems:
        raise InputError(problems)


def _guess(name: str, cells: Cells, recipe: Recipe, *, are_arrays: bool) -> ColumnRule:
    if name == recipe.split.column and recipe.split.by in {"grouped", "time", "column"} and name not in recipe.targets:
        return ColumnRule(kind="skip", guessed="used for the split")
    if name == SPLIT:
        return ColumnRule(kind="skip", guessed="the name of the split; `by: column` uses it")
    if cells.sequences is not None:
        return ColumnRule(kind="sequence", guessed="sequences")
    if name in recipe.targets:
        return _guess_target(cells)
    if cells.values.ndim > 1 or (are_arrays and cells.words is None and cells.values.dtype.kind in "iufb"):
        return ColumnRule(kind="array", guessed="an array")
    if cells.words is not None:
        return _guess_text(cells, are_arrays=are_arrays)
    if cells.values.dtype.kind in "Mm":
        return ColumnRule(kind="date", dataset=INPUTS, standardise=True, guessed="dates")
    return ColumnRule(kind="numeric", dataset=INPUTS, standardise=True, guessed="numbers")


def _guess_target(cells: Cells) -> ColumnRule:
    """Returns the rule of a target: a class if it is text, a truth value, or one of few whole numbers."""
    if cells.values.ndim > 1:
        return ColumnRule(kind="array", guessed="an array")
    if cells.words is not None:
        return ColumnRule(kind="categorical", guessed="text")
    if cells.values.dtype.kind in "Mm":
        return ColumnRule(kind="date", guessed="dates")
    present = cells.values[~cells.missing]
    different = len(np.unique(present))
    if present.dtype.kind == "b" or (present.dtype.kind in "iu" and different <= FEW_NUMBERS):
        return ColumnRule(kind="categorical", guessed=f"{different} different whole numbers")
    return ColumnRule(kind="numeric", guessed="numbers")


def _guess_text(cells: Cells, *, are_arrays: bool) -> ColumnRule:
    """Returns the rule of a column of text: dates, few categories, sentences, or nothing that a network can use."""
    _, words = words_of(cells.rows(~cells.missing))
    used = [words[place] for place in np.unique(cells.values[~cells.missing])]
    if used and all(seconds_of(word, None) is not None for word in used[:100]):
        return ColumnRule(kind="date", dataset=INPUTS, standardise=True, guessed="dates in text")
    if are_arrays:
        return ColumnRule(kind="categorical", guessed="text")
    if len(used) <= FEW_WORDS:
        return ColumnRule(kind="one_hot", dataset=INPUTS, guessed=f"{len(used)} different texts")
    if np.mean([len(word.split()) for word in used]) >= 2.5:
        return ColumnRule(kind="tokens", by="words", guessed="sentences")
    return ColumnRule(kind="skip", guessed=f"{len(used)} different texts in the first rows; give its kind to use it")


def rules_in_words(rules: Mapping[str, ColumnRule]) -> dict[str, str]:
    """Returns each rule in a few words, for people."""
    told = {}
    for name, rule in rules.items():
        words = [rule.kind]
        if rule.dataset is not None:
            words.append(f"in {rule.dataset}")
        if rule.missing != "refuse":
            words.append(f"missing: {rule.missing}")
        told[name] = ", ".join(words)
    return told
