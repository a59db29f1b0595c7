"""The penalty L2-SP: it pulls parameters toward those that a training began with.

As Li, Grandvalet and Davoine, "Explicit inductive bias for transfer learning with convolutional networks" (ICML 2018,
equation 2), for the parameters that a pattern names.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from hpcmtl.errors import InputError, Problem, nearest
from hpcmtl.training.sessions.parts import SessionPart

if TYPE_CHECKING:
    from collections.abc import Collection

    from hpcmtl.arrays import Arrays
    from hpcmtl.training.checkpointing.content import Checkpoint
    from hpcmtl.training.kinds.course_schemas import L2SPKeys
    from hpcmtl.training.learner import Learner

_WHERE = "l2_sp pattern"
L2_SP = "l2_sp/"
"""Prefix of the first parameters in a checkpoint."""


class L2SP(SessionPart):
    """Adds the gradient of the penalty to those of each step; equal on all ranks."""

    def __init__(self, keys: L2SPKeys) -> None:
        """Takes the strength and the pattern."""
        self._strength, self._pattern = np.float32(keys.strength), keys.pattern
        self._first: Arrays = {}

    def state(self) -> Arrays:
        """See `SessionPart`."""
        return {L2_SP + name: array for name, array in self._first.items()}

    def load(self, found: Checkpoint) -> None:
        """See `SessionPart`."""
        self._first = {n.removeprefix(L2_SP): array for n, array in found.state.items() if n.startswith(L2_SP)}

    def begin(self, learner: Learner, taken: Collection[str]) -> None:
        """Takes the first parameters.

        Args:
            learner: learner with the first parameters.
            taken: names of those that come from another task or an earlier run.

        Raises:
            InputError: the pattern matches no parameter, or one that was not taken, or that has sparse gradients.
        """
        self._first = learner.parameters_matching(self._pattern)
        if not self._first:
            text = f"{self._pattern} matches no parameter{nearest(self._pattern, learner.parameters_matching('*'))}"
            raise InputError([Problem(_WHERE, text)])
        own = next((name for name in self._first if name not in taken), None)
        if own is not None:
            text = f"{self._pattern} matches {own}, which is not taken from another task"
            raise InputError([Problem(_WHERE, f"{text}; narrow the pattern, e.g. to trunk.*")])
        sparse = [name for name in learner.views("touched_rows") if name in self._first]
        if sparse:
            text = f"{self._pattern} matches {sparse[0]}, whose gradients are sparse: rows that no sample has stay"
            raise InputError([Problem(_WHERE, f"{text}; narrow the pattern, or use dense gradients")])

    def add(self, learner: Learner, rescale: float) -> None:
        """Adds the gradient to synchronised gradients, which the update multiplies by `rescale`."""
        trained = {name: np.array(each) for name, each in learner.views("trained").items() if name in self._first}
        gradients = learner.views("gradients")
        factor = self._strength / np.float32(rescale)
        for name, values in trained.items():
            gradients[name] += factor * (values - self._first[name])
