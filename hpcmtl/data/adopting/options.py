"""Options of the command `data adopt`, read and checked."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hpcmtl.data.adopting.plan import expanded
from hpcmtl.errors import InputError, Problem

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

ENDING = ".adopted.h5"


def named_arrays(texts: Sequence[str]) -> dict[str, str]:
    """Returns the name of each array and its dataset, of texts such as ``x``, ``a/x,a/y`` or ``x=a/x``.

    Raises:
        InputError: a name stands for two datasets.
    """
    found: dict[str, str] = {}
    problems = []
    for each in (part.strip() for text in texts for part in text.split(",")):
        name, equals, dataset = each.partition("=")
        dataset = (dataset if equals else name).strip("/")
        name = name if equals else dataset.rsplit("/", 1)[-1]
        if not name or not dataset:
            problems.append(
                Problem("--inputs, --targets", f"found {each!r}; write NAME, GROUP/NAME or NAME=GROUP/NAME")
            )
        elif found.setdefault(name, dataset) != dataset:
            message = f"{name} stands for {found[name]} and {dataset}; write NAME={dataset} with another name"
            problems.append(Problem("--inputs, --targets", message))
    if problems:
        raise InputError(problems)
    return found


def place_beside(files: Sequence[str]) -> Path:
    """Returns the file that is made for one adopted file: beside it, with the ending .adopted.h5.

    Raises:
        InputError: no file, or several, so that --to is needed.
    """
    found = expanded(files)
    if len(found) != 1:
        raise InputError([Problem("--to", f"is missing: name the file to make for the {len(found)} files")])
    return found[0].with_name(found[0].stem + ENDING)
