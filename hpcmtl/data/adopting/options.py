"""Options of the command `data adopt`, read and checked."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hpcmtl.data.adopting.plan import expanded
from hpcmtl.errors import InputError, Problem
from hpcmtl.networks.objective import NAN

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from hpcmtl.networks.objective import Missing

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


def missing_values(texts: Sequence[str]) -> dict[str, Missing]:
    """Returns the number that stands for a missing value by array, of texts such as ``y=nan`` or ``y=-1,z=nan``.

    Raises:
        InputError: a text has another form, or an array has two numbers.
    """
    found: dict[str, Missing] = {}
    problems = []
    for each in (part.strip() for text in texts for part in text.split(",")):
        name, equals, number = (part.strip() for part in each.partition("="))
        value: Missing | None
        try:
            value = NAN if number.lower() == NAN else float(number)
        except ValueError:
            value = None
        if not name or not equals or value is None:
            problems.append(Problem("--missing", f"found {each!r}; write NAME=nan or NAME=NUMBER, e.g. kind=-1"))
        elif found.setdefault(name, value) != value:
            problems.append(Problem("--missing", f"{name} has two numbers, {found[name]} and {value}; give one"))
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
