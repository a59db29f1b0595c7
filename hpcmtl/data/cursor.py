"""Where a training stands in its data: all the state that a resumed training needs to go on with the same samples."""

from __future__ import annotations

from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True, order=True)
class Cursor:
    """Position of a global step; it names no rank, so it holds for any width of the group.

    Attributes:
        epoch: counted from 0.
        step: in the epoch, counted from 0.
        seed: of the order of all epochs.
    """

    epoch: int
    step: int
    seed: int

    def advance(self, steps_per_epoch: int, steps: int = 1) -> Cursor:
        """Return the position `steps` global steps further on."""
        epochs, step = divmod(self.step + steps, steps_per_epoch)
        return replace(self, epoch=self.epoch + epochs, step=step)
