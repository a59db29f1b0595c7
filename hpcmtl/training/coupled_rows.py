"""Look for networks and losses that compute the loss of a sample from other rows of its batch as well."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    from hpcmtl.arrays import Arrays
    from hpcmtl.training.step_input import StepInput

ROWS = 4
"""Number of rows of a batch that the first step is compared on."""
SEEDS = (11, 12)
"""Seeds of the passes that are compared."""
_CLOSE, _NOISE, _TINY = 1e-4, 1e-6, 1e-37


def rows_are_coupled(
    losses: Callable[[Arrays, list[np.ndarray[Any, Any]], int], list[np.ndarray[Any, Any]]],
    batch: StepInput,
) -> bool:
    """Returns whether the loss of the first row changes with rows behind or before it, or needs them.

    If the loss draws random numbers, rows cannot be compared, and the answer is no.

    Args:
        losses: function of inputs, targets and a seed to an array of losses (n, ...) for each objective; what a user's
            code raises in it means that the rows are coupled.
        batch: a batch, of which the first rows are used, and behind them a sample of ones with targets of zeros.
    """

    def of_first(rows: int, seed: int, step: int = 1) -> np.ndarray[Any, Any]:
        inputs = batch.with_inputs(lambda each: np.ascontiguousarray(_first_rows(each, rows, np.ones_like)[::step]))
        targets = [_first_rows(each, rows, np.zeros_like)[::step] for each in batch.targets]
        found = losses(inputs, [*map(np.ascontiguousarray, targets)], seed)
        return np.concatenate([np.ravel(each[::step][0]) for each in found], dtype=np.float64)

    try:
        alone, again = of_first(0, SEEDS[0]), of_first(0, SEEDS[1])
        # A recurrent network along the batch, or a running sum, sees the rows before a row alone.
        together = [of_first(ROWS, SEEDS[0]), of_first(ROWS, SEEDS[0], step=-1)]
    except (Exception, SystemExit):  # noqa: BLE001 - users' code, which takes rows in pairs, for example
        return True

    def close(other: np.ndarray[Any, Any]) -> bool:
        size = np.abs(alone[np.isfinite(alone)]).max(initial=0.0)
        return np.allclose(other, alone, rtol=_CLOSE, atol=_NOISE * size + _TINY, equal_nan=True)

    return not all(map(close, together)) and close(again)


def _first_rows(array: np.ndarray[Any, Any], more: int, filled: Callable[..., Any]) -> np.ndarray[Any, Any]:
    """Returns the first row; with `more` also the rows behind it, and a filled row, which every rank may have."""
    if not more:
        return array[:1]
    return np.concatenate([array[:more], filled(array[:1])])
