"""The best value of a monitored metric over the epochs of a training. Pure."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from hpcmtl.jobfile.metrics import improves
from hpcmtl.training.kinds.monitors import LOSS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hpcmtl.jobfile.metrics import Better
    from hpcmtl.training.sessions.parts import EpochEnd


@dataclass(frozen=True, kw_only=True)
class Monitored:
    """A metric that is compared at the ends of epochs, and its best value up to now.

    Attributes:
        name: name of the metric in the results.
        better: which of two values is better.
        min_delta: smallest difference that is an improvement.
        start_epoch: first epoch that counts.
        best: best value; None before the first one.
        best_epoch: epoch of the best value.
    """

    name: str
    better: Better
    min_delta: float = 0.0
    start_epoch: int = 0
    best: float | None = None
    best_epoch: int = -1

    def after(self, end: EpochEnd) -> Monitored:
        """Returns the same metric after another epoch; it is best where `best_epoch` is this epoch.

        An epoch without a value (no validation, no label, or a metric that is not defined) is no improvement.
        """
        value = self.value(end)
        if value is None or not math.isfinite(value) or end.epoch < self.start_epoch:
            return self
        is_best = improves(value, self.best, self.better, self.min_delta)
        return replace(self, best=float(value), best_epoch=end.epoch) if is_best else self

    def value(self, end: EpochEnd) -> float | None:
        """Returns the value at the end of an epoch; None if there is none."""
        if self.name == LOSS:
            return end.total_loss
        return end.metrics.get(self.name, end.losses.get(self.name))

    def epochs_without(self, end: EpochEnd) -> int:
        """Returns the number of epochs since the best one; 0 where no value is known yet or now."""
        return 0 if self.best is None or self.value(end) is None else end.epoch - self.best_epoch

    def facts(self) -> dict[str, Any]:
        """Returns what a checkpoint keeps."""
        return {"best": self.best, "best_epoch": self.best_epoch}

    def loaded(self, facts: Mapping[str, Any]) -> Monitored:
        """Returns the same metric as a checkpoint has it; without a value if the facts are empty."""
        return replace(self, best=facts.get("best"), best_epoch=int(facts.get("best_epoch", -1)))
