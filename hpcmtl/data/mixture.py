"""Mixtures of data sets: how many rows of each set the steps of an epoch have. Pure functions of sizes and epoch."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

import numpy as np

from hpcmtl.data.epochs import step_bounds

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from hpcmtl.arrays import Ints

How = Literal["proportional", "equal", "temperature", "annealed", "fixed", "round_robin"]

FALL: Final = 0.8
"""How much the exponent of an annealed mixture falls over the training (Stickland and Murray, 2019)."""


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


def shares(mixture: Mixture, epoch: int) -> NDArray[np.float64]:
    """Returns the share of each set in the rows of an epoch; the sum is 1."""
    sizes = np.array(mixture.sizes, np.float64)
    if mixture.how in {"round_robin", "fixed"}:
        weights = np.array(mixture.batch_sizes, np.float64)
    elif mixture.how == "equal":
        weights = np.ones(len(sizes))
    elif mixture.how == "temperature":
        weights = (sizes / sizes.max()) ** (1.0 / mixture.temperature)
    elif mixture.how == "annealed":
        weights = (sizes / sizes.max()) ** (1.0 - FALL * epoch / max(mixture.epochs - 1, 1))
    else:
        weights = sizes
    found: NDArray[np.float64] = weights / weights.sum()
    return found


def epoch_bounds(mixture: Mixture) -> Ints:
    """Returns the bounds of the steps of an epoch, equal for all epochs; see `EpochPlan.bounds`.

    Raises:
        UnfitMixtureError: a set is too small for a step, or for the steps that are asked for.
    """
    if mixture.how == "round_robin":
        steps = _turns(mixture)
        sizes = np.array(mixture.batch_sizes)[np.arange(steps) % len(mixture.sizes)]
        return np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
    if mixture.steps is not None:
        rows = mixture.steps * mixture.batch_size
        _require_enough(mixture, rows)
        return step_bounds(rows, mixture.batch_size)
    if mixture.how == "proportional":
        return step_bounds(sum(mixture.sizes), mixture.batch_size)
    if mixture.oversample:
        most = max(size / share for size, share in zip(mixture.sizes, shares(mixture, 0), strict=True))
        return step_bounds(math.ceil(most / mixture.batch_size - 1e-9) * mixture.batch_size, mixture.batch_size)
    return step_bounds(_most_steps(mixture) * mixture.batch_size, mixture.batch_size)


def epoch_rows(mixture: Mixture, epoch: int) -> Ints:
    """Returns the rows that each set gives in an epoch: whole numbers, by the largest remainder."""
    bounds = epoch_bounds(mixture)
    if mixture.how == "round_robin":
        steps, count = len(bounds) - 1, len(mixture.sizes)
        turns = steps // count + (np.arange(count) < steps % count)
        return np.asarray(turns * np.array(mixture.batch_sizes), np.int64)
    return largest_remainder(int(bounds[-1]) * shares(mixture, epoch))


def sets_of_rows(mixture: Mixture, epoch: int) -> Ints:
    """Returns the number of the set of each row of an epoch, in training order.

    The rows of each set are spread evenly over the epoch. So each step has the share of each set, up to one row where
    there are two sets, and exactly where the shares of a step are whole numbers.
    """
    if mixture.how == "round_robin":
        sizes = np.diff(epoch_bounds(mixture))
        return np.asarray(np.repeat(np.arange(len(sizes)) % len(mixture.sizes), sizes), np.int64)
    rows = epoch_rows(mixture, epoch)
    sets = np.repeat(np.arange(len(rows)), rows)
    places = np.concatenate([(np.arange(count) + 0.5) / max(count, 1) for count in rows])
    return np.asarray(sets[np.lexsort((sets, places))], np.int64)


def largest_remainder(wanted: NDArray[np.float64]) -> Ints:
    """Returns whole numbers next to the wanted ones, with the same sum, which is a whole number."""
    whole = np.floor(wanted + 1e-9).astype(np.int64)
    missing = round(float(wanted.sum())) - int(whole.sum())
    order = np.argsort(whole - wanted, kind="stable")
    whole[order[:missing]] += 1
    return np.asarray(whole, np.int64)


def _turns(mixture: Mixture) -> int:
    """Returns the steps of an epoch in which the sets take turns."""
    count, sizes = len(mixture.sizes), mixture.batch_sizes
    if mixture.steps is None:
        if mixture.oversample:
            return count * max(-(-n // b) for n, b in zip(mixture.sizes, sizes, strict=True))
        for name, size, batch in zip(mixture.names, mixture.sizes, sizes, strict=True):
            if size < batch:
                raise UnfitMixtureError(f"{name} has {size} train samples, fewer than one step of {batch}; {_LESS}")
        return count * min(n // b for n, b in zip(mixture.sizes, sizes, strict=True))
    for place, (name, size, batch) in enumerate(zip(mixture.names, mixture.sizes, sizes, strict=True)):
        wanted = (mixture.steps // count + (place < mixture.steps % count)) * batch
        if wanted > size and not mixture.oversample:
            raise UnfitMixtureError(_too_few(name, size, wanted, f"{mixture.steps} steps"))
    return mixture.steps


def _require_enough(mixture: Mixture, rows: int) -> None:
    if mixture.oversample:
        return
    for epoch in _epochs(mixture):
        wanted = largest_remainder(rows * shares(mixture, epoch))
        for name, size, each in zip(mixture.names, mixture.sizes, wanted.tolist(), strict=True):
            if each > size:
                raise UnfitMixtureError(_too_few(name, size, each, f"{mixture.steps} steps"))


def _most_steps(mixture: Mixture) -> int:
    """Returns the largest number of whole steps in which no set is used up."""
    most, smallest = math.inf, ""
    for epoch in _epochs(mixture):
        for name, size, share in zip(mixture.names, mixture.sizes, shares(mixture, epoch).tolist(), strict=True):
            if size / share < most:
                most, smallest = size / share, name
    if most < mixture.batch_size - 1e-9:
        size = mixture.sizes[mixture.names.index(smallest)]
        text = f"{smallest} has {size} train samples, fewer than its share of one step of {mixture.batch_size}"
        raise UnfitMixtureError(f"{text}; {_LESS}")
    return int(most / mixture.batch_size + 1e-9)


def _epochs(mixture: Mixture) -> range:
    """Returns the epochs that may differ in the shares of the sets."""
    return range(mixture.epochs if mixture.how == "annealed" else 1)


def _too_few(name: str, size: int, wanted: int, steps: str) -> str:
    text = f"{name} has {size} train samples, but an epoch of {steps} takes {wanted} of them"
    return f"{text}; write fewer `steps`, or `oversample: true` to take them more than once"


_LESS = "write a smaller batch size, or `oversample: true` to take them more than once"
