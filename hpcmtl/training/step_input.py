"""The input of one rank to one step."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from hpcmtl.errors import TaskFailedError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from hpcmtl.arrays import Arrays

INPUT_ROWS = "input/"
"""Prefix of the keys of the rows that a network gets; the name of its input follows."""


@dataclass(frozen=True)
class StepInput:
    """Input of one rank to one step of its group.

    Attributes:
        inputs: name of an input of the network -> (n, *sample shape), this rank's share of the batch, as it is read; a
            network gets it as float32, or as int64 if it takes integers, see `network_inputs`.
        targets: one array (n, ...) for each objective, in order.
        weights: (n,) float32 sample weights; 0 for the row of a filler.
        global_samples: number of samples in the whole group's batch.
        ranks: number of ranks that share the batch.
        filler: whether the only row fills an empty share, and is no sample of the batch.
        label_weights: for each objective float32 factors of the shape of its targets, see `Batch.label_weights`; None
            for an objective all of whose labels are known and count alike. Empty if all objectives are such. Those of
            consistency losses come after them.
        targets_per_row: rows of targets, weights and label weights of each row of inputs, k: row i of the outputs has
            a loss with each of the targets k i to k i + k - 1. It is two for samples that are mixed.
    """

    inputs: Arrays
    targets: tuple[np.ndarray[Any, Any], ...]
    weights: np.ndarray[Any, Any]
    global_samples: int
    ranks: int = 1
    filler: bool = False
    label_weights: tuple[np.ndarray[Any, Any] | None, ...] = ()
    targets_per_row: int = 1

    @property
    def rows(self) -> int:
        """Number of rows of inputs."""
        return len(self.weights) // self.targets_per_row

    def with_one_target(self) -> StepInput:
        """Returns the same rows, each with the first of its targets."""
        first = slice(None, None, self.targets_per_row)
        return replace(
            self,
            targets=tuple(each[first] for each in self.targets),
            weights=self.weights[first],
            label_weights=tuple(None if each is None else each[first] for each in self.label_weights),
            targets_per_row=1,
        )

    def with_inputs(self, change: Callable[[np.ndarray[Any, Any]], np.ndarray[Any, Any]]) -> Arrays:
        """Returns the inputs after a change of each of them."""
        return {name: change(array) for name, array in self.inputs.items()}

    def weights_of(self, objective: int, shape: tuple[int, ...]) -> np.ndarray[Any, Any]:
        """Returns the float32 weights of the losses of one objective, in the shape of these losses.

        Args:
            objective: number of the objective, or of a consistency loss, which come after the objectives.
            shape: (n,) for one loss a sample; (n, labels) where the loss of a sample is the mean over its labels.

        Raises:
            TaskFailedError: a sample has one loss, but only some of its labels are missing.
        """
        factors = self.label_weights[objective] if objective < len(self.label_weights) else None
        if factors is None and len(shape) == 1:
            return self.weights
        rows = np.ones((shape[0], 1), np.float32) if factors is None else factors.reshape(shape[0], -1)
        if len(shape) == 1:
            if (rows != rows[:, :1]).any():
                text = "a sample has known and missing labels, but the loss gives one value for all of them"
                raise TaskFailedError(f"objective {objective}: {text}; use l2, l1, huber or sigmoid_bce")
            return np.asarray(self.weights * rows[:, 0])
        weights = self.weights[:, None] * rows / np.float32(shape[1])
        return np.ascontiguousarray(np.broadcast_to(weights, shape))


def inputs_in(rows: Mapping[str, np.ndarray[Any, Any]]) -> Arrays:
    """Returns the rows that a network gets, among those of a batch, by the names of its inputs."""
    return {key.removeprefix(INPUT_ROWS): each for key, each in rows.items() if key.startswith(INPUT_ROWS)}
