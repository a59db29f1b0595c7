"""Checks that the learning-rate schedule of a task fits its learning rate and its number of epochs."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hpcmtl.jobfile.findings import Finding
    from hpcmtl.jobfile.tasks import Optimizer


def check_schedule(optimizer: Optimizer, epochs: float) -> Iterator[Finding]:
    """Yields what a schedule asks for that a task of this number of epochs cannot have, by keys of the task."""
    for key, text in _problems(optimizer, epochs):
        yield ("optimizer", "schedule", key), text


def _problems(optimizer: Optimizer, epochs: float) -> Iterator[tuple[str, str]]:
    schedule, rate = optimizer.schedule, optimizer.learning_rate
    warmup, milestones = schedule.warmup_epochs, schedule.epochs
    if warmup >= epochs:
        yield "warmup_epochs", f"the warm-up takes {warmup:g} epochs, and the task has {epochs:g}; shorten it"
    if schedule.warmup_from > rate:
        text = f"{schedule.warmup_from:g} is above the learning rate {rate:g}, which the warm-up ends at"
        yield "warmup_from", f"{text}; it is a learning rate, from 0 to that one"
    if schedule.kind == "cosine" and schedule.final > 1:
        yield "final", f"{schedule.final:g} is a part of the learning rate; it is from 0 to 1"
    if schedule.kind != "step":
        return
    if not milestones:
        yield "epochs", "a `step` schedule names the epochs at which the rate falls, such as [3, 6]"
    elif any(one >= other for one, other in itertools.pairwise(milestones)):
        yield "epochs", f"{_listed(milestones)} do not ascend; write each epoch once, in order"
    outside = [each for each in milestones if not warmup < each < epochs]
    if outside and warmup < epochs:
        bounds = f"after the warm-up ({warmup:g}) and before the last epoch ends ({epochs:g})"
        yield "epochs", f"{_listed(outside)} would have no effect: milestones lie {bounds}"


def _listed(numbers: tuple[float, ...] | list[float]) -> str:
    return ", ".join(f"{each:g}" for each in numbers)
