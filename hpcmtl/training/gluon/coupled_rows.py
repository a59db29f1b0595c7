"""Look for Gluon networks and losses that couple the rows of a batch; see `training.coupled_rows`."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

from hpcmtl.training import coupled_rows
from hpcmtl.training.gluon.compat import import_mxnet
from hpcmtl.training.gluon.first_step import restored
from hpcmtl.training.gluon.parameters import is_statistic
from hpcmtl.training.gluon.random_numbers import seeded

if TYPE_CHECKING:
    import numpy as np

    from hpcmtl.arrays import Arrays
    from hpcmtl.training.gluon.losses import TrainingLoss
    from hpcmtl.training.step_input import StepInput

mx = import_mxnet()


def rows_are_coupled(loss: TrainingLoss, batch: StepInput, *, train: bool) -> bool:
    """Returns whether the loss of a row depends on the rows behind it.

    Args:
        loss: network and losses.
        batch: a batch, of which the first rows are used.
        train: whether dropout and batch normalisation work as in training.
    """

    def losses(inputs: Arrays, targets: list[np.ndarray[Any, Any]], seed: int) -> list[Any]:
        with seeded(seed), mx.autograd.pause(train_mode=train):
            return [each.asnumpy() for each in loss.losses(inputs, targets)]

    with restored([each.data() for each in loss.block.collect_params().values() if is_statistic(each)]):
        coupled = coupled_rows.rows_are_coupled(losses, batch)
        if coupled:
            with suppress(mx.MXNetError):
                mx.nd.waitall()  # operations that follow a failed one report its error as well
    return coupled
