"""Checks of the keys that change the course of a training: early stopping, the state that is kept, and freezing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hpcmtl.jobfile.coupling import live_consumers, live_needs, merge_of
from hpcmtl.training.frozen_patterns import temporary
from hpcmtl.training.kinds.monitors import check_monitor, monitored_names

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from hpcmtl.jobfile.findings import Finding
    from hpcmtl.jobfile.schema import Job
    from hpcmtl.networks.objective import Objective
    from hpcmtl.training.kinds.course_schemas import EarlyStoppingKeys
    from hpcmtl.training.kinds.schemas import Joint, Trained

_STOPPING, _KEEP, _FREEZE, _L2_SP = "early_stopping", "keep", "freeze", "l2_sp"


def check_course(task: Trained, *, has_origin: bool) -> Iterator[Finding]:
    """Yields keys of a task about its course that would have no effect.

    Args:
        task: the task.
        has_origin: whether it takes parameters from another task, or an earlier run.
    """
    if task.early_stopping is not None:
        yield from check_patience((_STOPPING,), task.early_stopping, task.epochs)
    if task.keep.state == "best" and task.keep.monitor is None and task.early_stopping is None:
        text = "the best epoch by which metric? Write for example `keep: {state: best, monitor: loss}`"
        yield (_KEEP,), f"{text}, or `early_stopping`, whose monitor is then used"
    for pattern, keys in task.freeze.items():
        for key, epoch in (("until", keys.until), ("from", keys.from_)):
            if epoch is not None and epoch >= task.epochs:
                text = f"found {epoch}, but the task has epochs 0 to {task.epochs - 1}"
                remedy = f"for all of them write {pattern}: {{}}" if key == "until" else "leave the pattern out"
                yield (_FREEZE, pattern, key), f"{text}; {remedy}"
    if task.l2_sp is not None and not has_origin:
        text = "pulls parameters toward those of another task, and this one takes none"
        yield (_L2_SP,), f"{text}: add a need of kind parameters, or leave it out"


def check_patience(path: tuple[str, ...], keys: EarlyStoppingKeys, epochs: int) -> Iterator[Finding]:
    """Yields a patience that never ends a training of a number of epochs."""
    if keys.start_epoch + keys.patience >= epochs:
        text = f"found {keys.patience} from epoch {keys.start_epoch} on, but there are epochs 0 to {epochs - 1}"
        yield (*path, "patience"), f"{text}: it would never stop; write a smaller number, or leave it out"


def check_coupled_course(job: Job, name: str, task: Trained) -> Iterator[Finding]:
    """Yields keys that a task cannot have which exchanges parameters while it runs."""
    if not (live_needs(job, name) or live_consumers(job, name) or merge_of(job, name)):
        return
    text = "the task exchanges parameters while it runs (async, merge), and others count on"
    if task.early_stopping is not None:
        yield (_STOPPING,), f"{text} all its steps; leave one of both out"
    if changing := temporary(task.freeze):
        yield (_FREEZE, changing[0]), f"{text} the same frozen parameters in all epochs; leave `until` and `from` out"


def check_monitors(task: Trained, objectives: Sequence[Objective]) -> Iterator[Finding]:
    """Yields monitors of a task that it does not have."""
    names = monitored_names(task, objectives)
    yield from check_monitor((_KEEP,), task.keep, names)
    for head, keys in task.stopping().items():
        path = ("heads", head, _STOPPING) if head else (_STOPPING,)
        yield from check_monitor(path, keys, names, f"{head}." if head else "")


def check_head_course(job: Job, name: str, task: Joint) -> Iterator[Finding]:
    """Yields heads that cannot be stopped by themselves, and weightings that need the same parameters all the time."""
    stopping = [key for key, head in task.heads.items() if head.early_stopping is not None]
    coupled = live_needs(job, name) or live_consumers(job, name) or merge_of(job, name)
    for key in stopping:
        keys, path = task.heads[key].early_stopping, ("heads", key, _STOPPING)
        assert keys is not None
        yield from check_patience(path, keys, task.epochs)
        if len(task.heads) == 1:
            yield path, "the task has one head: write `early_stopping` of the task"
        elif coupled:
            yield path, "the task exchanges parameters while it runs (async, merge); leave one of both out"
        elif task.mode in {"alternate", "serial"}:
            yield path, f"`mode: {task.mode}` gives each head its turns; leave one of both out"
        elif task.weighting is not None:
            text = f"{task.weighting.name} weighs all heads in all epochs"
            yield path, f"{text}; leave `weighting` out (fixed weights are `weight` of the heads), or stop the task"
    if task.weighting is not None and temporary(task.freeze):
        yield from _check_weighting_of_phases(task)


def course_of_head(task: Joint, head: str) -> dict[str, object]:
    """Returns the keys of a task that trains one head alone: what stopped the head stops the task."""
    keys = task.heads[head]
    stopping = keys.early_stopping
    if stopping is None:
        return {"heads": {head: keys}}
    own = stopping.model_copy(update={"monitor": f"{head}.{stopping.monitor}"})
    return {"heads": {head: keys.model_copy(update={"early_stopping": None})}, "early_stopping": own}


def _check_weighting_of_phases(task: Joint) -> Iterator[Finding]:
    from hpcmtl.errors import InputError
    from hpcmtl.training.multitask.methods import make_method
    from hpcmtl.training.multitask.weightings.base import WeightingSetup

    assert task.weighting is not None
    try:
        setup = WeightingSetup(objectives=tuple(task.heads))
        method = make_method(task.weighting.name, task.weighting.options, setup)
    except InputError:  # said of the weighting itself
        return
    by_losses = method.weighting is not None and "gramian" not in method.weighting.needs
    if method.combiner is not None or method.transform is not None or not by_losses:
        text = f"{task.weighting.name} combines gradients of the same parameters in all epochs"
        yield (_FREEZE, temporary(task.freeze)[0]), f"{text}; leave `until` and `from` out, or `weighting`"
