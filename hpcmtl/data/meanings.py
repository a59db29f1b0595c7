"""Reads what the numbers of an array mean: the names of its classes and columns."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hpcmtl.data.open_file import naming_damage, open_sealed
from hpcmtl.data.stored_array import find_array

if TYPE_CHECKING:
    from pathlib import Path

NAMED = {"classes": "class", "columns": "column"}
"""Attributes of an array that name its numbers or their places, and the word for one of these."""


def meanings(path: Path, name: str) -> dict[str, tuple[str, ...]]:
    """Returns the names that an array has, by attribute; one that is not there has none.

    Raises:
        InputError: the file cannot be read.
    """
    with open_sealed(path) as file, naming_damage(path, name):
        attributes = find_array(file, path, name).attrs
        found = {each: attributes.get(each) for each in NAMED}
    return {
        each: tuple(text.decode() if isinstance(text, bytes) else str(text) for text in texts)
        for each, texts in found.items()
        if texts is not None
    }
