"""``--set key=value`` and the `sweep` of a job file: changes of its values; several values form a product."""

from __future__ import annotations

import copy
import itertools
from typing import TYPE_CHECKING, Any, TypeAlias

from hpcmtl.errors import InputError, Problem, nearest
from hpcmtl.jobfile.read import read_yaml
from hpcmtl.jobfile.schema import Defaults, Job
from hpcmtl.networks.spec import Spec

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

Change: TypeAlias = "Mapping[str, Any]"
_OF_TASK = 2
"""Place of a section of a task in a key: tasks.NAME.SECTION."""
_NAMED = {"tasks": "task", "heads": "head", "merge": "merge"}
"""Keys whose own keys are names that the user chose, with the noun for one of them."""


def changes_of(words: Sequence[str], sweep: Mapping[str, Sequence[Any]] | None = None) -> list[Change]:
    """Returns all combinations of the values of words like ``tasks.digit.epochs=5,10``; the first word varies slowest.

    Args:
        words: words of the form key with dots, ``=``, values in YAML notation with commas.
        sweep: values by key of a job file; words replace those of their keys.

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
    axes = {**(sweep or {}), **axes}
    return [dict(zip(axes, values, strict=True)) for values in itertools.product(*axes.values())]


def one_change(words: Sequence[str]) -> Change:
    """Returns the only combination of the values of words.

    Raises:
        InputError: as for `changes_of`, or a word has several values.
    """
    changes = changes_of(words)
    if len(changes) > 1:
        text = f"{len(changes)} combinations of values; `hpcmtl submit --array` makes a run of each"
        raise InputError([Problem("--set", text)])
    return changes[0]


def changed(values: Mapping[str, Any], change: Change) -> dict[str, Any]:
    """Returns the values of a job file with some values replaced or added; null removes a key, as with `extends`.

    A section that a task takes from `defaults` is copied into the task before a key of it is changed.

    Raises:
        InputError: a key leads through a value that has no keys, or through a task that there is not.
    """
    new = copy.deepcopy(dict(values))
    for key, value in change.items():
        *above, last = key.split(".")
        here: Any = new
        _require_known(key, new)
        for place, step in enumerate(above):
            inherited = _section_of_defaults(new, step) if above[0] == "tasks" and place == _OF_TASK else {}
            here = here.setdefault(step, inherited)
            if not isinstance(here, dict):
                raise InputError([Problem(f"--set {key}", f"`{step}` has no keys of its own; it is {here!r}")])
        if value is None and last in here:
            del here[last]
        else:
            here[last] = value
    return new


def require_swept(keys: Iterable[str], before: str = "--set ") -> None:
    """Refuses keys of a sweep that are the same for all of its runs, since these are one batch job.

    Args:
        keys: the keys.
        before: text before a key in a message.

    Raises:
        InputError: a key is such a one.
    """
    text = "is the same for all points; use --nodes, --ntasks-per-node, --benchmark and the other options"
    refused = [key for key in keys if key == "ranks" or key.partition(".")[0] == "slurm"]
    if refused:
        raise InputError([Problem(f"{before}{key}", text) for key in refused])


def _section_of_defaults(values: Mapping[str, Any], section: str) -> Any:
    """Returns what a task without a section of its own has for it."""
    given = values.get("defaults")
    if isinstance(given, dict) and section in given:
        return copy.deepcopy(given[section])
    default = getattr(Defaults(), section, None)
    return default.model_dump(mode="json", by_alias=True, exclude_unset=True) if isinstance(default, Spec) else {}


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


def blamed(error: InputError, change: Change) -> InputError:
    """Returns the problems of a changed job; those of values from the command line have their place there."""
    problems = []
    for problem in error.problems:
        inside = problem.where.rpartition(": ")[2]  # the file may be the job file or its base
        key = next((key for key in change if inside == key or inside.startswith(f"{key}.")), None)
        problems.append(problem if key is None else Problem(f"--set {key}={change[key]}", problem.message))
    return InputError(problems)
