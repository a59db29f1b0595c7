"""Rules by which a table becomes a sealed file: one for each column, one for the split, and the recipe of all."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping

INPUTS = "inputs"
"""Dataset into which columns go that have no dataset of their own."""
VARIABLE: Final = "variable"
"""Length of texts that are stored with as many tokens as they have."""
LONGEST = 100_000
"""Most tokens of a text that are stored."""
GROUPABLE = frozenset({"numeric", "date", "one_hot"})
"""Kinds of columns that can stand side by side in one dataset."""


@dataclass(frozen=True, kw_only=True)
class ColumnRule:
    """Tells how one column is stored.

    Attributes:
        kind: numeric, categorical, one_hot, date, tokens, image, array, sequence or skip.
        dataset: dataset in which the column stands beside others; None for one with the name of the column.
        standardise: true to subtract the mean of the train rows and to divide by their deviation.
        missing: refuse, mean, value (then `value` is stored) or mask (a second dataset tells which cells are known).
        value: value in place of missing ones.
        classes: declared classes, in the order of their codes.
        unknown: refuse, or code: a class of its own for what is not in the vocabulary of the train rows.
        unit: days or seconds, for a date.
        format: format of dates that are text, as for `datetime.strptime`; None for ISO 8601.
        by: words or characters, for tokens.
        length: number of tokens that are stored of each text; `VARIABLE` for as many as it has; None for the number of
            the longest text.
        longer: refuse or cut, for texts with more tokens.
        vocabulary: most tokens with codes of their own.
        lower: true to make text lower case before it is cut into tokens.
        size: height and width of images; None if all have one size.
        mode: grey or rgb; None for the mode of the first image.
        scale: factor of stored values, for an array.
        units: unit of the values, for people.
        guessed: reason, if the rule was guessed from the data.
    """

    kind: str
    dataset: str | None = None
    standardise: bool = False
    missing: str = "refuse"
    value: Any = None
    classes: tuple[str, ...] | None = None
    unknown: str = "refuse"
    unit: str = "days"
    format: str | None = None
    by: str = "words"
    length: int | Literal["variable"] | None = None
    longer: str = "refuse"
    vocabulary: int = 3998
    lower: bool = False
    size: tuple[int, int] | None = None
    mode: str | None = None
    scale: float | None = None
    units: str | None = None
    guessed: str = ""


@dataclass(frozen=True, kw_only=True)
class SplitRule:
    """Tells which rows are for training, validation and test.

    Attributes:
        by: hash, stratified, grouped, time, folds or column.
        column: column of the strata, groups, times or names of splits.
        fractions: shares of train, val and test.
        seed: seed of the hash.
        folds: number of folds.
        fold: number of the fold that is the test split.
        val_fold: number of the fold that is the validation split; None for no validation split.
    """

    by: str = "hash"
    column: str | None = None
    fractions: tuple[float, float, float] = (0.8, 0.1, 0.1)
    seed: int = 0
    folds: int = 5
    fold: int = 0
    val_fold: int | None = None


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """Tells how a table is sealed; what it leaves open is guessed from the first rows.

    Attributes:
        columns: rules of columns.
        targets: columns that get a dataset of their own, not standardised unless their rule says so.
        split: rule of the split.
        attributes: attributes of the file, such as source and licence.
        missing_values: texts of a CSV file that stand for a missing cell; None for the usual ones.
        delimiter: character between the cells of a CSV file; None for a comma, or a tab in a .tsv file.
    """

    columns: Mapping[str, ColumnRule] = field(default_factory=lambda: MappingProxyType({}))
    targets: tuple[str, ...] = ()
    split: SplitRule = SplitRule()
    attributes: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))
    missing_values: tuple[str, ...] | None = None
    delimiter: str | None = None
