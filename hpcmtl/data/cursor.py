"""Position of a training in its data: all state needed to resume with the same samples."""

from __future__ import annotations

from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True, order=True)
class Cursor:
    """Holds the position of a global step; it is independent of the width of the group.

    Attributes:
        epoch: epoch, counted from 0.
        step: step in the epoch, counted from 0.
        seed: seed of the order of all epochs.
    """

    epoch: int
    step: int
    seed: int

    def advance(self, steps_per_epoch: int, steps: int = 1) -> Cursor:
        """Returns the position `steps` global steps later."""
        epochs, step = divmod(self.step + steps, steps_per_epoch)
        return replace(self, epoch=self.epoch + epochs, step=step)
