"""Checks of the weightings of joint tasks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hpcmtl.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hpcmtl.jobfile.findings import Finding
    from hpcmtl.training.kinds.schemas import Joint


def check_weighting(task: Joint) -> Iterator[Finding]:
    """Yields a problem for a weighting that does not exist, or that the task cannot have."""
    choice = task.weighting
    if choice is None:
        return
    from hpcmtl.training.multitask.methods import make_method
    from hpcmtl.training.multitask.step_gradients import MEASURED
    from hpcmtl.training.multitask.weightings.base import WeightingSetup

    if len(task.heads) == 1:
        yield ("weighting",), "the task has one head, and there is nothing to combine; leave it out"
        return
    try:
        method = make_method(choice.name, choice.options, WeightingSetup(objectives=tuple(task.heads)))
    except InputError as error:
        for problem in error.problems:
            path = _path(problem.where)
            needed = f"; write `weighting: {{name: {choice.name}, options: {{{path[-1]}: ...}}}}`"
            yield path, f"{problem.message}{needed if problem.message == 'is missing' else ''}"
        return
    if method.weighting is None:
        return
    missing = sorted(method.weighting.needs - MEASURED)
    if missing:
        text = f"{choice.name} needs {' and '.join(missing).replace('_', ' ')}, which training does not measure yet"
        yield ("weighting", "name"), f"{text}; choose another one"
    if task.accumulate > 1 and "current_losses" in method.weighting.needs:
        text = f"{choice.name} weighs by the losses of the whole batch, which `accumulate` cuts"
        yield ("accumulate",), f"{text}; leave one of both out"


def _path(where: str) -> tuple[str, ...]:
    """Returns the path of keys of a place such as ``weighting.c``: options are under `options`."""
    first, *rest = where.split(".")
    return (first, *rest) if rest == ["name"] or not rest else (first, "options", *rest)
