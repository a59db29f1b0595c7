"""Vocabularies: the classes of a categorical column, and the tokens of texts."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from hpcmtl.data.sealing.rules import ColumnRule

PADDING, UNKNOWN = "<padding>", "<unknown>"
_TOKEN = re.compile(r"\w+|[^\w\s]")


def ordered_classes(words: Iterable[str]) -> tuple[str, ...]:
    """Returns different words in the order of their codes: by number if all are whole numbers, else by letters."""
    found = sorted(set(words))
    if all(re.fullmatch(r"-?[0-9]{1,18}", word) for word in found):
        found.sort(key=int)
    return tuple(found)


def tokens_of(text: str, rule: ColumnRule) -> Sequence[str]:
    """Returns the tokens of a text: its characters, or its words and punctuation marks."""
    text = text.lower() if rule.lower else text
    return text if rule.by == "characters" else _TOKEN.findall(text)


def token_vocabulary(counts: Mapping[str, int], most: int) -> tuple[str, ...]:
    """Returns the tokens in the order of their codes: padding, unknown, then the most frequent ones.

    Args:
        counts: token -> number of times in the train rows.
        most: most tokens with codes of their own.
    """
    ordered = sorted(counts, key=lambda token: (-counts[token], token))
    return (PADDING, UNKNOWN, *ordered[:most])
