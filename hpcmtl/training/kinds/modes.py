"""Modes of joint tasks: their checks, the turns of their objectives, and the tasks that stand for one head each."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hpcmtl.data.mixture import largest_remainder
from hpcmtl.errors import nearest
from hpcmtl.jobfile.expand import name_of_part
from hpcmtl.jobfile.turns import Turns
from hpcmtl.networks.architectures.choice import HardSharing
from hpcmtl.training.kinds.coupled_heads import check_coupled_mode
from hpcmtl.training.kinds.course import course_of_head

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from hpcmtl.jobfile.findings import Finding
    from hpcmtl.jobfile.schema import Job
    from hpcmtl.training.kinds.schemas import Joint

_LONGEST = 100
"""Characters of the name of a task, see `hpcmtl.jobfile.fields.Name`."""
_ALL_AT_ONCE = {
    "alternate": "a step trains one head",
    "serial": "an epoch trains one head",
    "separate": "each head has a task of its own",
}


def check_mode(job: Job, name: str, task: Joint) -> Iterator[Finding]:
    """Yields problems of `mode` and `turns`, and keys that they leave without an effect."""
    if task.mode == "joint":
        if task.turns is not None:
            yield ("turns",), "all heads are trained in each step: leave `turns` out, or write `mode: alternate`"
        return
    about = f"`mode: {task.mode}`: {_ALL_AT_ONCE[task.mode]}"
    if task.weighting is not None:
        yield ("weighting",), f"{about}, so that there is nothing to combine; leave `weighting` out"
    if task.sources:
        text = f"{about}, and the steps of several sources are mixed by `mixture`"
        yield ("mode",), f"{text}; leave `mode` out, and write `mixture: {{how: round_robin}}` for steps of one source"
    yield from check_coupled_mode(task)
    if task.mode == "separate":
        yield from _check_separate(job, name, task, about)
        return
    if len(task.heads) == 1:
        yield ("mode",), f"{about}, and the task has a single head; leave `mode` out"
    if isinstance(task.turns, dict):
        yield from _check_shares(task.turns, task)
    if task.mode == "serial":
        yield from _check_stages(task)


def _check_separate(job: Job, name: str, task: Joint, about: str) -> Iterator[Finding]:
    if not isinstance(task.architecture, HardSharing):
        yield ("architecture",), f"{about}, so that nothing is shared; leave `architecture` out"
    if task.turns is not None:
        yield ("turns",), f"{about}, so that there are no turns; leave `turns` out"
    for head in task.heads:
        made = name_of_part(name, head)
        if made in job.tasks:
            yield ("mode",), f"{about}, and there is a task {made!r} already; rename it, or the head"
        elif len(made) > _LONGEST:
            yield ("mode",), f"{about}; its name {made!r} has {len(made)} characters, and a name at most {_LONGEST}"


def _check_shares(shares: Mapping[str, float], task: Joint) -> Iterator[Finding]:
    for head in shares:
        if head not in task.heads:
            yield ("turns", head), f"the task has no head of this name{nearest(head, task.heads)}"
    missing = [head for head in task.heads if head not in shares]
    if missing and shares.keys() <= task.heads.keys():
        yield ("turns",), f"has no share of {' and '.join(missing)}; write one for each head"


def _check_stages(task: Joint) -> Iterator[Finding]:
    if isinstance(task.turns, str):
        text = "with `mode: serial` the heads are trained one after the other"
        yield ("turns",), f"{text}; found {task.turns!r}, write a share of the epochs for each head, or leave it out"
        return
    shares = [task.turns.get(head, 1.0) if task.turns else 1.0 for head in task.heads]
    epochs = stage_epochs(shares, task.epochs)
    none = [head for head, count in zip(task.heads, epochs, strict=True) if not count]
    if none:
        text = f"{task.epochs} epochs are shared out among {len(task.heads)} heads, and {' and '.join(none)} gets none"
        yield ("epochs",), f"{text}; write more epochs, or other shares in `turns`"


def stage_epochs(shares: Iterable[float], epochs: int) -> list[int]:
    """Returns the epochs of each stage: whole numbers in proportion to shares."""
    given = list(shares)
    return largest_remainder([each / sum(given) for each in given], epochs)


def turns_of(task: Joint) -> Turns | None:
    """Returns the turns of the heads of a sound task; None where all are trained in each step."""
    if task.mode not in {"alternate", "serial"}:
        return None
    shares = tuple(task.turns[head] for head in task.heads) if isinstance(task.turns, dict) else ()
    if task.mode == "serial":
        return Turns(how="stages", shares=shares or (1.0,) * len(task.heads))
    if shares:
        return Turns(how="shares", shares=shares)
    return Turns(how="proportional" if task.turns == "proportional" else "round_robin")


def too_few_steps(turns: Turns, heads: Iterable[str], steps: int) -> str | None:
    """Returns which heads get no step in an epoch by their shares; None if all get one."""
    if turns.how != "shares":
        return None
    counts = largest_remainder([each / sum(turns.shares) for each in turns.shares], steps)
    none = [head for head, count in zip(heads, counts, strict=True) if not count]
    text = f"an epoch has {steps} steps, and {' and '.join(none)} gets none of them"
    return f"{text}; write a larger share, or a smaller `batch_size`" if none else None


def separate_tasks(job: Job, name: str, task: Joint) -> dict[str, Joint]:
    """Returns a joint task of one head for each head, by the head's name; none if the task is not to be separated.

    Each has the keys of the task, without those that concern other heads alone.
    """
    if task.mode != "separate" or any(True for _ in check_mode(job, name, task)):
        return {}
    return {head: _of_head(task, head) for head in task.heads}


def _of_head(task: Joint, head: str) -> Joint:
    """Returns a task with one of the heads of another one."""
    others = [each for each in task.heads if each != head]
    used = {task.trunk.from_, task.heads[head].from_}
    left = {task.heads[each].from_ for each in others} - used
    needs = {each: need for each, need in task.needs.items() if each not in left or need.kind != "parameters"}
    optimizer = task.optimizer
    if optimizer is not None:
        groups = {p: each for p, each in optimizer.groups.items() if not _is_of_heads(p, others)}
        optimizer = optimizer.model_copy(update={"groups": groups})
    changes = {
        "mode": "joint",
        "needs": needs,
        "optimizer": optimizer,
        "freeze": {pattern: keys for pattern, keys in task.freeze.items() if not _is_of_heads(pattern, others)},
        **course_of_head(task, head),
        "initialise": {each: pattern for each, pattern in task.initialise.items() if each in needs},
    }
    return task.model_copy(update=changes)


def _is_of_heads(pattern: str, heads: Iterable[str]) -> bool:
    """Returns true if a pattern of parameter names begins with the name of one of some heads."""
    return any(pattern.startswith(f"heads.{head}.") for head in heads)
