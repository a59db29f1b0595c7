"""``--set key=value``: a job file's values changed on the command line, and the product of several values."""

from __future__ import annotations

import copy
import itertools
from typing import TYPE_CHECKING, Any

import yaml

from hpcmtl.errors import InputError, Problem

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

Change = dict[str, Any]


def changes_of(words: Sequence[str]) -> list[Change]:
    """All combinations of the values of ``tasks.digit.epochs=5,10`` and the like, the first word varying slowest.

    Args:
        words: each a key with dots, ``=``, and values with commas as YAML writes them.

    Returns:
        Key -> value, one dict for each combination; a single empty one without words.

    Raises:
        InputError: words of another form, or a key that stands twice.
    """
    problems, axes = [], {}
    for word in words:
        key, equals, text = word.partition("=")
        where = f"--set {word}"
        try:
            values = yaml.safe_load(f"[{text}]") if text.strip() else []
        except yaml.YAMLError as error:
            problems.append(Problem(where, f"the values are not valid YAML: {getattr(error, 'problem', error)}"))
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
    """The values of a job file with some of them replaced, or added.

    Raises:
        InputError: a key leads through something that has no keys.
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
