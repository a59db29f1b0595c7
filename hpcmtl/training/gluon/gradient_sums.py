"""Gradients that are no sums over the samples, or no multiples of the factor on the losses.

A `mx.autograd.Function`, a custom operator or a hook may clip or normalise gradients. It sees those of a rank's rows,
of losses that are divided by the size of the batch; `gluon.Trainer` divides gradients after the backward pass.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from hpcmtl.training.array_difference import NOISE, largest_difference, largest_number
from hpcmtl.training.coupled_rows import ROWS, SEEDS
from hpcmtl.training.gluon.compat import import_mxnet
from hpcmtl.training.gluon.first_step import first_rows
from hpcmtl.training.gluon.random_numbers import seeded
from hpcmtl.training.micro_batches import rows_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hpcmtl.arrays import Arrays
    from hpcmtl.training.gluon.losses import TrainingLoss
    from hpcmtl.training.step_input import StepInput

mx = import_mxnet()

_SCALE = 2.0**-6
"""Factor on losses, as that of a batch; a power of two, which rounds nothing."""
_CLOSE = 1e-3


class GradientFacts(NamedTuple):
    """Tells how gradients follow from losses.

    Attributes:
        multiples: whether they are multiples of a factor on the losses.
        sums: whether they are sums over the samples; true where that was not looked at.
    """

    multiples: bool
    sums: bool


def gradient_facts(
    loss: TrainingLoss, trained: Mapping[str, Any], batch: StepInput, *, of_samples: bool, may_draw: bool
) -> GradientFacts:
    """Compares the gradients of a few rows with those of scaled losses, and with those of parts of the rows.

    Overwrites the gradients. The caller restores running statistics and what passes change.

    Args:
        loss: network and losses.
        trained: trained parameters by name.
        batch: a batch, of which the first rows are used.
        of_samples: whether to look at parts of the rows as well.
        may_draw: whether network or losses may draw random numbers; where they do, parts are not looked at.
    """
    few = rows_of(batch, slice(ROWS))
    whole = _gradients(loss, trained, few, 1.0)
    bounds = {
        name: _CLOSE * largest_number([each]) + NOISE * largest_number(whole.values()) for name, each in whole.items()
    }
    scaled = _gradients(loss, trained, few, _SCALE)
    multiples = not largest_difference(scaled, whole, bounds)
    if of_samples and may_draw:
        of_samples = not largest_difference(_gradients(loss, trained, few, 1.0, SEEDS[1]), whole, bounds)
    if not of_samples or len(batch.weights) < 2:
        return GradientFacts(multiples, sums=True)
    one, other = (_gradients(loss, trained, rows_of(batch, slice(first, ROWS, 2)), _SCALE) for first in (0, 1))
    total = {name: one[name] + other[name] for name in whole}
    return GradientFacts(multiples, sums=not largest_difference(total, whole, bounds))


def _gradients(
    loss: TrainingLoss, trained: Mapping[str, Any], batch: StepInput, scale: float, seed: int = SEEDS[0]
) -> Arrays:
    """Returns the first rows of the gradients of losses times a factor, divided by this factor."""
    loss.clear()
    with seeded(seed):
        loss.backward(batch, [1.0] * loss.count, scale)
        mx.nd.waitall()
    return {name: first_rows(each.grad()) / scale for name, each in trained.items()}
