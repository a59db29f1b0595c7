"""``--set key=value``: changes values of a job file on the command line; several values form a product."""

from __future__ import annotations

import copy
import itertools
from typing import TYPE_CHECKING, Any

from hpcmtl.errors import InputError, Problem
from hpcmtl.jobfile.read import read_yaml

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

Change = dict[str, Any]


def changes_of(words: Sequence[str]) -> list[Change]:
    """Returns all combinations of the values of words like ``tasks.digit.epochs=5,10``; the first word varies slowest.

    Args:
        words: words of the form key with dots, ``=``, values in YAML notation with commas.

    Returns:
        Key -> value, one dict per combination; a single empty dict without words.

    Raises:
        InputError: a word has another form, or a key is given twice.
    """
    problems, axes = [], {}
    for word in words:
        key, equals, text = word.partition("=")
        where = f"--set {word}"
        try:
            values = read_yaml(where, f"[{text}]") if text.strip() else []
        except InputError as error:
            problems += [Problem(where, problem.message) for problem in error.problems]
            continue
        if not equals or not all(key.split(".")) or not values:
            problems.append(Problem(where, "write KEY=VALUE, with values parted by commas: tasks.digit.epochs=5,10"))
        elif key in axes:
            problems.append(Problem(where, f"{key} stands twice; write its values in one --set, parted by commas"))
        axes[key] = values
    if problems:
        raise InputError(problems)
    return [dict(zip(axes, values, strict=True)) for values in itertools.product(*axes.values())]


def changed(values: Mapping[str, Any], change: Change) -> dict[str, Any]:
    """Returns the values of a job file with some values replaced or added.

    Raises:
        InputError: a key leads through a value that has no keys.
    """
    new = copy.deepcopy(dict(values))
    for key, value in change.items():
        *above, last = key.split(".")
        here: Any = new
        for step in above:
            here = here.setdefault(step, {})
            if not isinstance(here, dict):
                raise InputError([Problem(f"--set {key}", f"`{step}` has no keys of its own; it is {here!r}")])
        here[last] = value
    return new
