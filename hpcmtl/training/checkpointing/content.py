"""Content of a checkpoint: the state of a training task between two steps."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hpcmtl.arrays import Arrays


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """Content of a checkpoint.

    Attributes:
        state: arrays of `Replica.state`: parameters, optimizer state, and the states of strategy and weighting.
        facts: position in the data (step, seed) and further facts on the state, such as metrics and learning rate.
    """

    state: Arrays
    facts: Mapping[str, Any]
