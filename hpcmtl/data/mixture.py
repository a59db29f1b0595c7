"""Mixtures of data sets: how many rows of each set the steps of an epoch have.

The functions are pure, of sizes and epoch alone, and need no numpy: the checks of a job use them as well.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Final, Literal

if TYPE_CHECKING:
    from collections.abc import Sequence

How = Literal["proportional", "equal", "temperature", "annealed", "fixed", "round_robin"]

FALL: Final = 0.8
"""How much the exponent of an annealed mixture falls over the training (Stickland and Murray, 2019)."""


_ROUNDING = 1e-9


class UnfitMixtureError(ValueError):
    """Reports an epoch that a mixture cannot have; the text says which set is too small, and what to do."""


@dataclass(frozen=True, kw_only=True)
class Mixture:
    """Describes how the steps of a training are composed of several data sets.

    Attributes:
        how: rule of the shares of the sets.
        names: names of the sets, for messages.
        sizes: rows of each set in the split.
        batch_size: rows of a step; for `round_robin` that of sets without one in `batch_sizes`.
        batch_sizes: rows of each set in a step: in each one for `fixed`, in its own steps for `round_robin`.
        temperature: shares are in proportion to size ** (1 / temperature), for `temperature`.
        epochs: number of epochs of the training, over which `annealed` shares become more equal.
        steps: steps of an epoch; None for as many as the sets allow.
        oversample: whether the rows of a small set may come more than once an epoch.
    """

    how: How
    names: tuple[str, ...]
    sizes: tuple[int, ...]
    batch_size: int
    batch_sizes: tuple[int, ...] = ()
    temperature: float = 1.0
    epochs: int = 1
    steps: int | None = None
    oversample: bool = False


def shares(mixture: Mixture, epoch: int) -> list[float]:
    """Returns the share of each set in the samples of an epoch; the sum is 1."""
    weights = _weights(mixture, epoch)
    return [each / sum(weights) for each in weights]


def _weights(mixture: Mixture, epoch: int) -> Sequence[float]:
    largest = max(mixture.sizes)
    match mixture.how:
        case "round_robin" | "fixed":
            return mixture.batch_sizes
        case "equal":
            return [1.0] * len(mixture.sizes)
        case "temperature":
            return [(size / largest) ** (1.0 / mixture.temperature) for size in mixture.sizes]
        case "annealed":
            exponent = 1.0 - FALL * epoch / max(mixture.epochs - 1, 1)
            return [(size / largest) ** exponent for size in mixture.sizes]
        case "proportional":
            return mixture.sizes


@lru_cache(maxsize=64)
def epoch_steps(mixture: Mixture) -> int:
    """Returns the number of steps of an epoch, equal for all epochs.

    Raises:
        UnfitMixtureError: a set is too small for a step, or for the steps that are asked for.
    """
    if mixture.steps is not None:
        _require_enough(mixture, mixture.steps)
        return mixture.steps
    if mixture.how == "proportional":
        return -(-sum(mixture.sizes) // mixture.batch_size)
    if mixture.oversample:
        return _steps_for_all(mixture)
    return _most_steps(mixture)


def epoch_samples(mixture: Mixture) -> int:
    """Returns the number of samples of an epoch; see `epoch_steps`."""
    return sum(epoch_rows(mixture, 0))


def epoch_rows(mixture: Mixture, epoch: int) -> list[int]:
    """Returns the rows that each set gives in an epoch: whole numbers, by the largest remainder; see `epoch_steps`."""
    return _rows_of(mixture, epoch, epoch_steps(mixture))


def largest_remainder(shares_of: Sequence[float], total: int) -> list[int]:
    """Returns whole numbers next to the shares of a total, which they add up to."""
    exact = [share * total for share in shares_of]
    whole = [math.floor(each + _ROUNDING) for each in exact]
    order = sorted(range(len(exact)), key=lambda place: (whole[place] - exact[place], place))
    for place in order[: total - sum(whole)]:
        whole[place] += 1
    return whole


def _rows_of(mixture: Mixture, epoch: int, steps: int) -> list[int]:
    """Returns the rows that each set gives in an epoch of some steps."""
    if mixture.how == "round_robin":
        turns, more = divmod(steps, len(mixture.sizes))
        return [(turns + (place < more)) * size for place, size in enumerate(mixture.batch_sizes)]
    if mixture.how == "proportional" and mixture.steps is None:
        return list(mixture.sizes)
    return largest_remainder(shares(mixture, epoch), steps * mixture.batch_size)


def _steps_for_all(mixture: Mixture) -> int:
    """Returns the smallest number of steps in which each row of each set comes at least once."""
    if mixture.how == "round_robin":
        turns = max(-(-size // each) for size, each in zip(mixture.sizes, mixture.batch_sizes, strict=True))
        return turns * len(mixture.sizes)
    rows = max(size / share for size, share in zip(mixture.sizes, shares(mixture, 0), strict=True))
    return math.ceil(rows / mixture.batch_size - _ROUNDING)


def _most_steps(mixture: Mixture) -> int:
    """Returns the largest number of whole steps in which no set is used up."""
    if mixture.how == "round_robin":
        turns = [size // each for size, each in zip(mixture.sizes, mixture.batch_sizes, strict=True)]
        found, place = min((count, place) for place, count in enumerate(turns))
        steps, batch_size = found * len(turns), mixture.batch_sizes[place]
    else:
        every = [shares(mixture, epoch) for epoch in _different_epochs(mixture)]
        rows = [
            min(size / share for share in of_set)
            for size, of_set in zip(mixture.sizes, zip(*every, strict=True), strict=True)
        ]
        found_rows, place = min((each, place) for place, each in enumerate(rows))
        steps, batch_size = int(found_rows / mixture.batch_size + _ROUNDING), mixture.batch_size
    if not steps:
        text = f"{mixture.names[place]} has {mixture.sizes[place]} train samples, too few for one step of {batch_size}"
        raise UnfitMixtureError(
            f"{text}; write a smaller batch size, or `oversample: true` to take them more than once"
        )
    return steps


def _require_enough(mixture: Mixture, steps: int) -> None:
    """Refuses a number of steps that take more rows of a set than it has."""
    for epoch in () if mixture.oversample else _different_epochs(mixture):
        wanted = _rows_of(mixture, epoch, steps)
        for name, size, each in zip(mixture.names, mixture.sizes, wanted, strict=True):
            if each > size:
                text = f"{name} has {size} train samples, but an epoch of {steps} steps takes {each} of them"
                raise UnfitMixtureError(
                    f"{text}; write fewer `steps`, or `oversample: true` to take them more than once"
                )


def _different_epochs(mixture: Mixture) -> range:
    """Returns the epochs that may differ in the shares of the sets."""
    return range(mixture.epochs if mixture.how == "annealed" else 1)
