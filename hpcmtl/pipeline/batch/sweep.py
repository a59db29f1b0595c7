"""``--set key=value``: changes values of a job file on the command line; several values form a product."""

from __future__ import annotations

import copy
import itertools
from typing import TYPE_CHECKING, Any

from hpcmtl.errors import InputError, Problem, nearest
from hpcmtl.jobfile.read import read_yaml
from hpcmtl.jobfile.schema import Job

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

Change = dict[str, Any]
_NAMED = {"tasks": "task", "heads": "head", "merge": "merge"}
"""Keys whose own keys are names that the user chose, with the noun for one of them."""


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
        InputError: a key leads through a value that has no keys, or through a task that there is not.
    """
    new = copy.deepcopy(dict(values))
    for key, value in change.items():
        *above, last = key.split(".")
        here: Any = new
        _require_known(key, new)
        for step in above:
            here = here.setdefault(step, {})
            if not isinstance(here, dict):
                raise InputError([Problem(f"--set {key}", f"`{step}` has no keys of its own; it is {here!r}")])
        here[last] = value
    return new


def _require_known(key: str, values: Mapping[str, Any]) -> None:
    """Refuses a key that would add a task, a head or an unknown section instead of changing a value."""
    steps = key.split(".")
    if steps[0] not in Job.model_fields:
        raise InputError([Problem(f"--set {key}", f"unknown key {steps[0]!r}{nearest(steps[0], Job.model_fields)}")])
    here: Any = values
    for place, (above, step) in enumerate(itertools.pairwise(steps)):
        here = here.get(above) if isinstance(here, dict) else None
        # A task may be called as a section: `tasks` and `merge` stand first, `heads` behind the name of a task.
        is_section = above in _NAMED and place == (2 if above == "heads" else 0)
        if is_section and isinstance(here, dict) and step not in here:
            text = f"the job has no {_NAMED[above]} {step!r}{nearest(step, map(str, here))}"
            raise InputError([Problem(f"--set {key}", text)])


def blamed(error: InputError, change: Change, where: str) -> InputError:
    """Returns the problems of a changed job; those of values from the command line have their place there."""
    problems = []
    for problem in error.problems:
        inside = problem.where.removeprefix(f"{where}: ")
        key = next((key for key in change if inside == key or inside.startswith(f"{key}.")), None)
        problems.append(problem if key is None else Problem(f"--set {key}={change[key]}", problem.message))
    return InputError(problems)
