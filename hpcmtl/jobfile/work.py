"""Sizes of tasks: the quantities that predict how long a task takes."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Work:
    """The size of a task.

    Attributes:
        samples: rows that one pass reads.
        passes: number of epochs; 1 for a task that applies a network.
        batch_size: rows of one step: over the whole group if the task trains, else of each rank.
        sample_bytes: bytes of one row over all arrays that are read.
        parameters: trainable scalars of the network; 0 where only building the network shows them.
        trains: true if the group shares each batch and combines gradients after it.
        multiplications: multiplications that run one row forward; 0 where only building the network shows them.
        opaque: true if only earlier layers of the same task tell its time, which is taken to be the same on any ranks.
    """

    samples: int
    passes: int
    batch_size: int
    sample_bytes: int
    parameters: int
    trains: bool
    multiplications: int = 0
    opaque: bool = False

    @property
    def steps_per_pass(self) -> int:
        """Returns the steps of one pass, the short last one included."""
        return -(-self.samples // self.batch_size)

    @property
    def steps(self) -> int:
        """Returns the steps of the whole task."""
        return self.steps_per_pass * self.passes

    @property
    def input_bytes(self) -> int:
        """Returns the bytes that one pass reads."""
        return self.samples * self.sample_bytes
