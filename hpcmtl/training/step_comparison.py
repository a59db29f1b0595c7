"""Defines the outcome of the comparison of one step with a framework's own arithmetic."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class StepComparison:
    """Differences between one step of a learner and the framework's own arithmetic; an empty text for none.

    Attributes:
        compiled: difference of the compiled network from the same network run operation by operation.
        update: difference of an optimizer update from that of the framework's own trainer.
    """

    compiled: str = ""
    update: str = ""
