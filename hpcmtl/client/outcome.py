"""The values of a task so far, from its result."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hpcmtl.results.outcome.affinity import Affinity
    from hpcmtl.results.outcome.summary import TaskResult


class TaskOutcome(ABC):
    """The values of a task so far; each is read when it is asked for. See `TaskResult`."""

    @property
    @abstractmethod
    def result(self) -> TaskResult:
        """The result so far."""

    @property
    def kind(self) -> str:
        """Kind of the task, such as ``train``."""
        return self.result.kind

    @property
    def metrics(self) -> Mapping[str, float | None]:
        """Metrics by name, so far; None for one without a value."""
        return self.result.metrics

    @property
    def undefined(self) -> Mapping[str, str]:
        """Reasons of the metrics without a value."""
        return self.result.undefined

    @property
    def tables(self) -> Mapping[str, list[list[float]]]:
        """Tables of numbers by name, such as a confusion matrix."""
        return self.result.tables

    @property
    def affinity(self) -> Affinity | None:
        """Cosines between the gradients of objectives, and groups; None if they were not compared."""
        return self.result.affinity

    @property
    def message(self) -> str:
        """Reason why the task did not complete; empty for none."""
        return self.result.message

    @property
    def layers(self) -> int:
        """Number of layers that were run to their end."""
        return self.result.layers

    @property
    def ranks(self) -> tuple[int, ...]:
        """Width of each layer that was run."""
        return self.result.ranks

    @property
    def engine(self) -> str:
        """Name of the engine of the last layer; empty for a task that trained nothing."""
        return self.result.engine

    @property
    def engine_reason(self) -> str:
        """Reason for the choice of the engine."""
        return self.result.engine_reason

    @property
    def compression(self) -> str:
        """Compression of the gradients, ``none`` or ``fp16``."""
        return self.result.compression

    @property
    def seconds(self) -> float:
        """Seconds of all layers that were run."""
        return self.result.seconds

    @property
    def steps(self) -> int:
        """Number of optimizer steps of all layers that were run."""
        return self.result.steps
