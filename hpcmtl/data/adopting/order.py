"""The request of an adoption, as a value."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from hpcmtl.data.sealing.rules import Recipe
    from hpcmtl.networks.objective import Missing


@dataclass(frozen=True, kw_only=True)
class AdoptionOrder:
    """Holds what a user asks for.

    Attributes:
        out: file to make.
        files: paths or patterns of the files to adopt; in natural order of their names (2 before 10).
        arrays: name -> path of a dataset in each file.
        recipe: rule of the split, attributes, and rules of the kind ``array`` with classes, scale and units.
        missing: name of an array -> number that stands for a missing value in it.
        overwrite: true to replace a file that exists.
    """

    out: Path
    files: Sequence[str]
    arrays: Mapping[str, str]
    recipe: Recipe
    missing: Mapping[str, Missing] = field(default_factory=dict)
    overwrite: bool = False
