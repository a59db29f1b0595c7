"""Look for networks and losses that compute the loss of a sample from other rows of its batch as well."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

import numpy as np

from hpcmtl.training.gluon.compat import import_mxnet
from hpcmtl.training.gluon.first_step import ROWS, SEEDS, restored, seeded
from hpcmtl.training.gluon.parameters import is_statistic

if TYPE_CHECKING:
    from collections.abc import Callable

    from hpcmtl.training.gluon.losses import TrainingLoss
    from hpcmtl.training.learner import StepInput

mx = import_mxnet()

_CLOSE, _NOISE, _TINY = 1e-4, 1e-6, 1e-37


def rows_are_coupled(loss: TrainingLoss, batch: StepInput, *, train: bool) -> bool:
    """Returns whether the loss of the first row changes with the rows behind it, or cannot be computed without them.

    If the loss draws random numbers in this mode, rows cannot be compared, and the answer is no.

    Args:
        loss: network and losses.
        batch: a batch, of which the first rows are used, and behind them a sample of ones with targets of zeros.
        train: whether dropout and batch normalisation work as in training.
    """

    def first_losses(rows: int, seed: int) -> np.ndarray[Any, Any]:
        inputs = _first_rows(batch.inputs, rows, np.ones_like)
        targets = [_first_rows(each, rows, np.zeros_like) for each in batch.targets]
        with seeded(seed), mx.autograd.pause(train_mode=train):
            losses = [each.asnumpy()[0] for each in loss.losses(inputs, targets)]
        return np.array(losses, dtype=np.float64)

    fixed = [each.data() for each in loss.block.collect_params().values() if is_statistic(each)]
    with restored(fixed):
        passes = ((0, SEEDS[0]), (ROWS, SEEDS[0]), (0, SEEDS[1]))
        try:
            alone, together, again = (first_losses(*each) for each in passes)
        except (Exception, SystemExit):  # noqa: BLE001 - users' code, which takes rows in pairs, for example
            with suppress(mx.MXNetError):
                mx.nd.waitall()  # operations that follow the failed one report its error as well
            return True

    def close(other: np.ndarray[Any, Any]) -> bool:
        size = np.abs(alone[np.isfinite(alone)]).max(initial=0.0)
        return np.allclose(other, alone, rtol=_CLOSE, atol=_NOISE * size + _TINY, equal_nan=True)

    return not close(together) and close(again)


def _first_rows(array: np.ndarray[Any, Any], more: int, filled: Callable[..., Any]) -> np.ndarray[Any, Any]:
    """Returns the first row; with `more` also the rows behind it, and a filled row, which every rank may have."""
    if not more:
        return array[:1]
    return np.concatenate([array[:more], filled(array[:1])])
