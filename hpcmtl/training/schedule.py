"""Learning-rate schedules as values, and the learning rate of a step as a pure function of schedule and step.

There is no counter: a resumed task has the rate that it would have had without the interruption, on all ranks.
"""

from __future__ import annotations

import bisect
import itertools
import math
from dataclasses import dataclass, replace
from functools import cache
from typing import TYPE_CHECKING, Any

from hpcmtl.errors import InputError, Problem, reason_of
from hpcmtl.jobfile.resolve import resolve
from hpcmtl.training.code_state import counted_calls

if TYPE_CHECKING:
    from hpcmtl.jobfile.tasks import Optimizer


_TRIED = (0.0, 0.5, 1.0)
"""Progress at which a schedule of the user's is tried."""


@dataclass(frozen=True)
class Constant:
    """Keeps the base rate to the end."""


@dataclass(frozen=True)
class Step:
    """Multiplies the rate by `factor` at each milestone.

    Attributes:
        milestones: step numbers in order, counted from the start of the training, warm-up included. The rate falls once
            for each of them, also where two are one step.
        factor: factor in (0, 1].
    """

    milestones: tuple[int, ...]
    factor: float = 0.1


@dataclass(frozen=True)
class Cosine:
    """Lowers the base rate by half a cosine wave (Loshchilov and Hutter, SGDR, ICLR 2017, without restarts).

    Attributes:
        final_fraction: fraction of the base rate at the end, in [0, 1].
    """

    final_fraction: float = 0.0


@dataclass(frozen=True)
class Poly:
    """Multiplies the base rate by (1 - progress) to the `power`; power 1 is linear, and the rate ends at zero."""

    power: float = 1.0


@dataclass(frozen=True)
class UserFunction:
    """Multiplies the base rate by what a function of the user's returns.

    Attributes:
        function: reference, ``package.module:attribute``, to a function of the progress after the warm-up, in [0, 1].
    """

    function: str


Decay = Constant | Step | Cosine | Poly | UserFunction


@dataclass(frozen=True)
class RateSchedule:
    """Linear warm-up from `warmup_from` to the base rate, then a decay up to `total_steps`.

    Attributes:
        base_learning_rate: learning rate at the end of the warm-up, above 0.
        total_steps: number of optimizer steps of the whole task, over all its layers.
        warmup_steps: number of steps before the base rate is reached, less than `total_steps`; 0 for no warm-up.
        warmup_from: learning rate of step 0 if there is a warm-up, in [0, base rate].
        decay: decay after the warm-up.

    Raises:
        InputError: a number is out of its range; the error names all of them.
    """

    base_learning_rate: float
    total_steps: int
    warmup_steps: int = 0
    warmup_from: float = 0.0
    decay: Decay = Constant()

    def __post_init__(self) -> None:
        problems = [Problem(f"schedule.{key}", message) for key, message in _problems(self)]
        if problems:
            raise InputError(problems)


def learning_rate(schedule: RateSchedule, step: int) -> float:
    """Returns the learning rate of one optimizer step.

    Args:
        schedule: the schedule of the task.
        step: number of steps before this one, from 0; past `total_steps` the last rate stays.

    Raises:
        ValueError: the step is negative.
    """
    base, warmup = schedule.base_learning_rate, schedule.warmup_steps
    if step < 0:
        raise ValueError(f"a step is counted from 0, found {step}")
    if step < warmup:
        return schedule.warmup_from + (base - schedule.warmup_from) * step / warmup
    progress = min(1.0, (step - warmup) / (schedule.total_steps - warmup))
    return base * _decayed(schedule.decay, step, progress)


def rebased(schedule: RateSchedule, base_learning_rate: float) -> RateSchedule:
    """Returns the schedule for another base rate: every rate of warm-up and decay is multiplied by the same factor."""
    factor = base_learning_rate / schedule.base_learning_rate
    warmup_from = min(schedule.warmup_from * factor, base_learning_rate)
    return replace(schedule, base_learning_rate=base_learning_rate, warmup_from=warmup_from)


def _decayed(decay: Decay, step: int, progress: float) -> float:
    """Returns the fraction of the base rate at a step after the warm-up."""
    match decay:
        case Constant():
            return 1.0
        case Step(milestones, factor):
            return float(factor ** bisect.bisect_right(milestones, step))
        case Cosine(final):
            return final + (1 - final) * (1 + math.cos(math.pi * progress)) / 2
        case Poly(power):
            return float((1 - progress) ** power)
        case UserFunction(name):
            return own_factor(name, progress)


def own_factor(name: str, progress: float) -> float:
    """Returns what a user's schedule gives at some progress.

    Raises:
        InputError: the function cannot be imported, fails, or gives no number of at least 0.
    """
    try:
        factor = float(_function(name)(progress))
    except InputError:
        raise
    except (Exception, SystemExit) as error:
        raise InputError([Problem(f"schedule {name}", f"fails at progress {progress}: {reason_of(error)}")]) from error
    if not (math.isfinite(factor) and factor >= 0):
        text = f"gives {factor} at progress {progress}; it returns the part of the base rate, 0 or more"
        raise InputError([Problem(f"schedule {name}", text)])
    return factor


def require_pure(name: str) -> None:
    """Tries a user's schedule at some progress, twice; what its functions remember is as before then.

    Raises:
        InputError: it fails, gives no part of a rate, or something else in the second round, or counts its calls.
    """
    rounds: list[list[float]] = []
    counted = counted_calls([_function(name)], lambda: rounds.append([own_factor(name, each) for each in _TRIED]))
    first, second = rounds
    other = [f"{a} and then {b} at progress {at}" for at, a, b in zip(_TRIED, first, second, strict=True) if a != b]
    found = [f"gives {other[0]}"] if other else [f"changes {', '.join(counted)} in each call"] if counted else []
    if found:
        text = "every rank calls it at each step, and a resumed task begins with another number of calls"
        raise InputError(
            [Problem(f"schedule {name}", f"{found[0]}: {text}; it must depend on the progress alone, from 0 to 1")]
        )


@cache
def _function(name: str) -> Any:
    return resolve(name)


def _problems(schedule: RateSchedule) -> list[tuple[str, str]]:
    base, total, warmup = schedule.base_learning_rate, schedule.total_steps, schedule.warmup_steps
    found = []
    if not (math.isfinite(base) and base > 0):
        found.append(("base_learning_rate", f"must be a number above 0, found {base}"))
    if total < 1:
        found.append(("total_steps", f"must be at least 1, found {total}"))
    if not 0 <= warmup < max(total, 1):
        found.append(("warmup_steps", f"must be from 0 to below the {total} steps of the task, found {warmup}"))
    if not 0 <= schedule.warmup_from <= base:
        found.append(("warmup_from", f"must be from 0 to the base rate {base}, found {schedule.warmup_from}"))
    return found + _decay_problems(schedule.decay, warmup, total)


def _decay_problems(decay: Decay, warmup: int, total: int) -> list[tuple[str, str]]:
    found = []
    match decay:
        case Step(milestones, factor):
            if not milestones or any(a > b for a, b in itertools.pairwise(milestones)):
                found.append(("milestones", f"must be steps in order, at least one, found {list(milestones)}"))
            outside = [step for step in milestones if not warmup <= step < total]
            if outside:
                between = f"between the warm-up ({warmup}) and the last step ({total})"
                found.append(("milestones", f"must lie {between}, found {outside}"))
            if not 0 < factor <= 1:
                found.append(("factor", f"must be above 0 and at most 1, found {factor}"))
        case Cosine(final) if not 0 <= final <= 1:
            found.append(("final_fraction", f"must be from 0 to 1, found {final}"))
        case Poly(power) if not (math.isfinite(power) and power > 0):
            found.append(("power", f"must be above 0, found {power}"))
        case _:
            pass  # nothing else has a number that could be wrong
    return found


def of_optimizer(optimizer: Optimizer, steps: int, steps_per_epoch: int) -> RateSchedule:
    """Returns the schedule of a task in steps, from that of the job file in epochs.

    Numbers of epochs that `jobfile.schedules` accepts fit for any number of steps: what would be rounded to the end of
    the task is taken for the step before it, so that no data set is refused for its size.
    """
    spec = optimizer.schedule
    warmup = min(math.ceil(spec.warmup_epochs * steps_per_epoch), steps - 1)
    decay: Decay = Constant()
    if spec.kind == "step":
        rounded = (round(epoch * steps_per_epoch) for epoch in spec.epochs)
        decay = Step(tuple(min(max(step, warmup), steps - 1) for step in rounded), spec.factor)
    elif spec.kind == "cosine":
        decay = Cosine(spec.final)
    elif spec.kind == "poly":
        decay = Poly(spec.power)
    elif ":" in spec.kind:
        decay = UserFunction(spec.kind)
    return RateSchedule(optimizer.learning_rate, steps, warmup, spec.warmup_from, decay)
