"""The transforms of one network's input, in order, as the prefetch threads carry them out."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from hpcmtl.data.transforming import ready_made
from hpcmtl.data.transforming.own_function import own_function, refusal
from hpcmtl.data.transforming.sample_random import SampleRandom
from hpcmtl.jobfile.transforms import Crop, Cutout, Flip, Mixup, Noise, Normalise, OwnTransform

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from hpcmtl.arrays import Ints
    from hpcmtl.jobfile.transforms import Transform

    SampleChange = Callable[[NDArray[np.float32], Ints, SampleRandom], NDArray[np.float32]]


class TransformChain:
    """Changes samples by some transforms, one after the other.

    Attributes:
        transforms: the transforms, complete with their numbers.
        seed: seed of their random numbers.
    """

    def __init__(self, transforms: Sequence[Transform], seed: int) -> None:
        """Imports the functions of users.

        Args:
            transforms: transforms of which none has numbers to be computed.
            seed: seed of the random numbers.

        Raises:
            InputError: a function cannot be imported, or takes other arguments.
        """
        self.transforms = tuple(transforms)
        self.seed = seed
        self._steps = [_step(each) for each in self.transforms]

    def changed(self, rows: NDArray[Any], numbers: Ints, epoch: int | None) -> NDArray[np.float32]:
        """Returns the changed samples; the result for a sample depends on its number and the epoch alone.

        Args:
            rows: (n, ...) samples.
            numbers: (n,) their numbers.
            epoch: epoch in which they are trained on; None where they are not, so that transforms of train samples
                alone are left out, and others draw the same numbers every time.

        Returns:
            (n, ...) float32 samples of the same shape.

        Raises:
            InputError: a function of the user's failed, or returned what a network does not take.
        """
        values = rows.astype(np.float32, copy=False)
        for place, (transform, step) in enumerate(zip(self.transforms, self._steps, strict=True)):
            if epoch is not None or transform.on == "all":
                values = step(
                    values, numbers, SampleRandom(numbers, self.seed, 0 if epoch is None else epoch + 1, place)
                )
        return values

    @property
    def everywhere(self) -> tuple[Transform, ...]:
        """The transforms that samples get wherever the network runs."""
        return tuple(each for each in self.transforms if each.on == "all")


def _step(transform: Transform) -> SampleChange:
    match transform:
        case Normalise(mean=mean, deviation=deviation):
            if mean is None or deviation is None:
                raise ValueError("the numbers of `normalise` are still to be computed")
            return lambda rows, _numbers, _random: ready_made.normalise(rows, mean, deviation)
        case OwnTransform():
            return own_function(transform)
        case Flip(axis=axis):
            return _drawing(partial(ready_made.flip, axis=axis))
        case Crop(padding=padding):
            return _drawing(partial(ready_made.crop, padding=padding))
        case Noise(deviation=scale):
            return _drawing(partial(ready_made.noise, deviation=scale))
        case Mixup():
            raise ValueError("`mixup` needs other samples of the batch: `data.mixup` makes it")
        case Cutout(size=size):
            return _drawing(partial(ready_made.cutout, size=size))


def _drawing(change: Callable[[NDArray[np.float32], SampleRandom], NDArray[np.float32]]) -> SampleChange:
    return lambda rows, _numbers, random: change(rows, random)


def require_repeatable(chain: TransformChain, rows: NDArray[Any], numbers: Ints) -> None:
    """Tries transforms on some samples: twice, and in other batches.

    Args:
        chain: the transforms.
        rows: (n, ...) samples.
        numbers: (n,) their numbers.

    Raises:
        InputError: one fails, returns what a network does not take, or gives a sample other values then.
    """
    for epoch in (0, None):
        together = chain.changed(rows, numbers, epoch)
        if not np.array_equal(together, chain.changed(rows, numbers, epoch)):
            text = "give other values when they are called again for the same samples and epoch"
            raise refusal(_names(chain), f"{text}; draw random numbers from the third argument, `random`")
        parts = [chain.changed(rows[part], numbers[part], epoch) for part in (slice(1), slice(1, None))]
        if len(rows) > 1 and not np.allclose(together, np.concatenate(parts), rtol=1e-4, atol=1e-6):
            text = "give a sample other values when other samples are in its batch, so that results would depend on"
            raise refusal(_names(chain), f"{text} the number of ranks; compute each sample by itself")


def _names(chain: TransformChain) -> str:
    return " and ".join(each.name for each in chain.transforms if isinstance(each, OwnTransform)) or "list"
