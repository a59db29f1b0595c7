"""The steps of a training task: its epochs and layers, and positions between two steps."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from hpcmtl.data.cursor import Cursor

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hpcmtl.jobfile.fields import Every


class SyncPoint(NamedTuple):
    """A position of a task between two optimizer steps.

    Attributes:
        step: number of steps done.
        layer: number of layers done.
        between_layers: true if a layer ends or begins here.
        last: true if no step follows.
    """

    step: int
    layer: int
    between_layers: bool
    last: bool

    def clock(self, every: Every) -> int | None:
        """Returns the time of a logical clock with a tick `every` few steps, or None if it does not tick here."""
        if every == "layer":
            return self.layer if self.between_layers else None
        return None if self.step % every else self.step // every


@dataclass(frozen=True)
class Steps:
    """Counts the steps of a task; a property of the task alone, so that no group, layer or resumed run changes it.

    Attributes:
        bounds: first step of each layer, and behind them the number of all steps.
        samples: number of samples of an epoch before each of its steps, and behind them that of the whole epoch.
    """

    bounds: Sequence[int]
    samples: Sequence[int]

    @property
    def per_epoch(self) -> int:
        """Number of steps in an epoch."""
        return len(self.samples) - 1

    @property
    def total(self) -> int:
        """Number of all steps."""
        return self.bounds[-1]

    def epoch_of(self, step: int) -> int:
        """Returns the epoch of a step; behind the last step the last epoch."""
        return min(step, self.total - 1) // self.per_epoch

    def cursor(self, step: int, seed: int) -> Cursor:
        """Returns the position of a step in the data; `seed` is that of their order."""
        return Cursor(*divmod(step, self.per_epoch), seed)

    def at(self, layer: int, step: int) -> SyncPoint:
        """Returns the position of the task after `step` steps, in or at the end of a layer."""
        done = layer + (step == self.bounds[layer + 1])
        return SyncPoint(step, done, between_layers=step in self.bounds, last=step == self.bounds[-1])

    def samples_since_tick(self, every: Every, step: int) -> int:
        """Returns the number of samples between the last tick of a clock before `step`, and `step`."""
        if every == "layer":
            before = max((bound for bound in self.bounds if bound < step), default=0)
        else:
            before = max(step - 1, 0) // every * every
        return self.samples_between(before, step)

    def samples_between(self, first: int, second: int) -> int:
        """Returns the number of samples of the steps after the first `first` ones, up to the first `second` ones."""
        return self._samples_before(second) - self._samples_before(first)

    def _samples_before(self, step: int) -> int:
        epochs, rest = divmod(step, self.per_epoch)
        return epochs * self.samples[-1] + self.samples[rest]
