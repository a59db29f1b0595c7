"""Checks of the weightings of joint tasks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hpcmtl.errors import InputError
from hpcmtl.networks.architectures.choice import HardSharing

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from hpcmtl.frameworks.description import FrameworkDescription
    from hpcmtl.jobfile.findings import Finding
    from hpcmtl.jobfile.weighting import WeightingChoice
    from hpcmtl.training.kinds.schemas import Joint
    from hpcmtl.training.multitask.method import CombinationMethod
    from hpcmtl.training.multitask.weighting import WeightingInput


def check_weighting(task: Joint, *, mixed: bool = False) -> Iterator[Finding]:
    """Yields a problem for a weighting that does not exist, or that the task cannot have.

    Args:
        task: the task.
        mixed: whether its samples are mixed with others of their batch.
    """
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
        method = make_method(choice.name, choice.options, WeightingSetup(objectives=(*task.heads, *task.consistency)))
    except InputError as error:
        for problem in error.problems:
            path = _path(problem.where)
            needed = f"; write `weighting: {{name: {choice.name}, options: {{{path[-1]}: ...}}}}`"
            yield path, f"{problem.message}{needed if problem.message == 'is missing' else ''}"
        return
    yield from _measuring(task, choice, method)
    if method.weighting is None:
        return
    missing = sorted(method.weighting.needs - MEASURED)
    if missing:
        text = f"{choice.name} needs {' and '.join(missing).replace('_', ' ')}, which training does not measure yet"
        yield ("weighting", "name"), f"{text}; choose another one"
    yield from _of_batch(choice.name, method.weighting.needs, task.accumulate, mixed=mixed)


def check_places(task: Joint, framework: FrameworkDescription) -> Iterator[Finding]:
    """Yields a problem for gradients at a place that the learners of a framework cannot measure."""
    at = "shared" if task.weighting is None else task.weighting.gradients_at
    if at not in framework.gradient_places:
        text = f"{framework.title} compares gradients at {' or '.join(framework.gradient_places)}, and not at {at}"
        yield ("weighting", "gradients_at"), f"{text}; write one of these"


def _of_batch(name: str, needs: Collection[WeightingInput], accumulate: int, *, mixed: bool) -> Iterator[Finding]:
    """Yields a problem for a batch that is cut or mixed otherwise than a weighting needs."""
    halves = f"{name} compares the gradients of two halves of the batch"
    if accumulate > 1 and "current_losses" in needs:
        text = f"{name} weighs by the losses of the whole batch, which `accumulate` cuts"
        yield ("accumulate",), f"{text}; leave one of both out"
    if accumulate > 1 and "cross_gramian" in needs:
        yield ("accumulate",), f"{halves}, which `accumulate` cuts in another way; leave one of both out"
    if mixed and "cross_gramian" in needs:
        yield ("transform",), f"{halves}, and `mixup` mixes samples of one with those of the other; leave one out"


def _measuring(task: Joint, choice: WeightingChoice, method: CombinationMethod) -> Iterator[Finding]:
    """Yields a problem for each key about the measuring of gradients that the method cannot use."""
    from hpcmtl.training.multitask.step_gradients import OF_GRADIENTS

    needs = frozenset[str]() if method.weighting is None else method.weighting.needs
    reason = ""
    if not OF_GRADIENTS & needs:
        reason = "does not weigh by the gradients of the objectives"
    elif method.transform is not None:
        reason = "makes other rows of the gradients at each step"
    at = choice.gradients_at != "shared"
    for key, given in (("every", choice.every > 1), ("biased", choice.biased), ("gradients_at", at)):
        if given and reason:
            yield ("weighting", key), f"{choice.name} {reason}; leave `{key}` out"
        elif given and key != "every" and "gramian" not in needs:
            yield ("weighting", key), f"{choice.name} compares halves of the whole batch; leave `{key}` out"
    if at and choice.biased:
        yield ("weighting", "biased"), "gradients at one place are compared over the whole group; leave one of both out"
    if at and task.accumulate > 1:
        text = f"`gradients_at: {choice.gradients_at}` needs the whole batch in one pass, which `accumulate` cuts"
        yield ("accumulate",), f"{text}; leave one of both out"
    if choice.gradients_at == "features":
        yield from _features(task)


def _features(task: Joint) -> Iterator[Finding]:
    """Yields a problem for a task whose trunk has no single output, or is not computed by itself."""
    if task.sync_batchnorm:
        text = "`gradients_at: features` cuts the network in two, and `sync_batchnorm` needs it whole"
        yield ("sync_batchnorm",), f"{text}; leave one of both out"
    if not isinstance(task.architecture, HardSharing):
        text = f"`features` are the output of one trunk, and {task.architecture.name} has one for each head"
        yield ("weighting", "gradients_at"), f"{text}; write `shared`"


def _path(where: str) -> tuple[str, ...]:
    """Returns the path of keys of a place such as ``weighting.c``: options are under `options`."""
    first, *rest = where.split(".")
    return (first, *rest) if rest == ["name"] or not rest else (first, "options", *rest)
