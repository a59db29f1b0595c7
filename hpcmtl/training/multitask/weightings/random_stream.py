"""Random numbers of a weighting: a function of seed and step, so that all ranks and resumed runs draw the same ones."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from hpcmtl.arrays import Ints


def step_generator(seed: int, step: int) -> np.random.Generator:
    """Returns the generator of one step, by a counter-based bit generator (Salmon et al., SC 2011)."""
    return np.random.Generator(np.random.Philox(key=np.array([seed % 2**64, step], dtype=np.uint64)))


def orders_of_others(generator: np.random.Generator, count: int) -> Ints:
    """Returns a random order of all other objectives for each objective, as (count, count - 1) indices."""
    keys = generator.random((count, count))
    np.fill_diagonal(keys, 2.0)  # each objective itself comes last, and is left out
    return np.argsort(keys, axis=1)[:, :-1]


def step_counter(values: dict[str, np.ndarray[Any, Any]]) -> int:
    """Returns the number of the present step from the state `step`, and counts it."""
    step = int(values["step"])
    values["step"] = np.array(step + 1)
    return step
