"""GradDrop: at each coordinate only gradients of one sign pass, drawn by the purity of the sign."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import numpy as np
from pydantic import Field

from hpcmtl.networks.spec import Spec
from hpcmtl.training.multitask.shards.rows import ShardState
from hpcmtl.training.multitask.weightings.base import one_each

if TYPE_CHECKING:
    from hpcmtl.arrays import Floats
    from hpcmtl.training.multitask.weightings.base import WeightingSetup

_Share = Annotated[float, Field(ge=0, le=1)]
_NUMBERS_PER_COUNT = 4  # of 64 bits that Philox makes from one value of its counter


class GradDropOptions(Spec):
    """Options of `graddrop`."""

    leak: tuple[_Share, ...] | None = Field(default=None, description="share of each objective that always passes")


class GradDrop(ShardState):
    """Sum of the gradients of one sign at each coordinate: positive with the probability (1 + sum g / sum |g|) / 2.

    Chen et al., "Just pick a sign: optimizing deep multitask models with gradient sign dropout" (NeurIPS 2020,
    algorithm 1, lines 10 to 15, with the identity as f). The random number of a coordinate depends on the seed of the
    task, the step and the number of the coordinate, and so not on the shards.
    """

    def __init__(self, setup: WeightingSetup, options: GradDropOptions) -> None:
        super().__init__()
        self.setup = setup
        self._leak = one_each(setup, "leak", options.leak, 0.0)[:, None]

    def combine(self, rows: Floats, first: int) -> Floats:
        """See `GradientCombiner`."""
        step = int(self.values.get("step", 0))
        self.values = {"step": np.array(step + 1)}
        drawn = coordinate_numbers(self.setup.seed, step, first, rows.shape[1])
        sizes = np.abs(rows).sum(axis=0)
        signs = np.divide(rows.sum(axis=0), sizes, out=np.zeros_like(sizes), where=sizes > 0)
        purity = 0.5 * (1 + signs)
        passes = np.where(purity > drawn, rows > 0, (purity < drawn) & (rows < 0))
        found: Floats = ((self._leak + (1 - self._leak) * passes) * rows).sum(axis=0)
        return found


def coordinate_numbers(seed: int, step: int, first: int, count: int) -> Floats:
    """Returns uniform random numbers in [0, 1) of coordinates, by seed, step and the number of the coordinate."""
    before = first % _NUMBERS_PER_COUNT
    generator = np.random.Philox(key=np.array([seed % 2**64, step], dtype=np.uint64))
    generator.advance(first // _NUMBERS_PER_COUNT)
    return np.random.Generator(generator).random(before + count)[before:]
