"""Values of the fold `results.run_state`: the histories of tasks and attempts, and layers that were measured."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hpcmtl.results.events import LayerEnded, LayerOver
    from hpcmtl.results.step_progress import StepProgress

OPEN = frozenset({"waiting", "running", "held"})
"""Statuses of a task that has not ended."""


@dataclass
class TaskHistory:
    """The history of one task, over all attempts.

    Attributes:
        status: waiting, running, held (between two layers), or the status with which the task ended.
        layers: number of layers when the task last ran; before that the planned number, or 0.
        layers_done: number of finished layers.
        layer: number of the layer that runs, or ran last.
        ranks: first and last rank of its group; None before it has one.
        since: time of the start of that layer.
        progress: last reported progress of that layer; it stays when the layer was stopped with a checkpoint.
        message: reason why the task did not complete, or is tried again.
        stopped: true if the last layer ended because of a stop.
        outcomes: events of the layers that were run, in order.
        checkpointed: true if a checkpoint of it was written.
        paused: true while a user's pause holds.
        cancelled: true if a user cancelled the task.
        priority: priority that a user set last; None for that of the job file.
        learning_rate: base learning rate that a user set last; None for that of the job file.
        learning_rates: number of learning rates that users have set.
        losses: number of times that ranks died while they ran the layer `lost_layer`.
        lost_layer: newest layer that lost ranks; -1 if none did.
        share_before: part of the task that was done at the start of this attempt, 0 to 1.
        outcomes_before: number of outcomes of earlier attempts.
        kept: part of the running layer that a stop left in its checkpoint, 0 to 1; `progress` is of the rest.
    """

    status: str = "waiting"
    layers: int = 0
    layers_done: int = 0
    layer: int = 0
    ranks: tuple[int, int] | None = None
    since: float = 0.0
    progress: StepProgress | None = None
    message: str = ""
    stopped: bool = False
    outcomes: list[LayerOver] = field(default_factory=list)
    checkpointed: bool = False
    paused: bool = False
    cancelled: bool = False
    priority: int | None = None
    learning_rate: float | None = None
    learning_rates: int = 0
    losses: int = 0
    lost_layer: int = -1
    share_before: float = 0.0
    outcomes_before: int = 0
    kept: float = 0.0

    @property
    def complete(self) -> bool:
        """True if the task is complete."""
        return self.status == "complete"

    @property
    def begun(self) -> bool:
        """True if steps of the task are kept: in a checkpoint, also one within a layer, or in its artifact."""
        return self.complete or self.checkpointed or self.layers_done > 0 or bool(self.outcomes)

    @property
    def share(self) -> float:
        """Part of the task that is done, 0 to 1; a task that has ended otherwise than by a stop has nothing more to do.

        The part of a layer that was stopped counts: it is in the checkpoint.
        """
        if self.status not in OPEN | {"stopped"}:
            return 1.0
        return min((self.layers_done + self.within) / max(self.layers, 1), 1.0)

    @property
    def within(self) -> float:
        """Part of the layer after the finished ones that is done, 0 to 1."""
        step = self.progress
        done = step.fraction if step is not None and step.layer >= self.layers_done else 0.0
        return self.kept + (1 - self.kept) * done

    def seconds_left(self, now: float) -> float | None:
        """Returns the seconds until the running layer ends, at its present pace; None if that is unknown.

        Where the pace is known, the time before the first step (imports, the network, the first batch) does not count.
        """
        step = self.progress
        if self.status != "running" or step is None or step.fraction <= 0:
            return None
        done = step.step / step.steps_per_second if step.steps_per_second > 0 and step.step else now - self.since
        return max(done * (1 - step.fraction) / step.fraction, 0.0)

    def rank_seconds(self, now: float) -> float:
        """Returns the ranks times seconds that this attempt has spent on the task, without the start of a layer."""
        spent = sum(over.ranks * over.seconds for over in self.outcomes[self.outcomes_before :])
        left = self.seconds_left(now)
        if left is not None and self.progress is not None and self.progress.fraction < 1 and self.ranks is not None:
            seconds = left * self.progress.fraction / (1 - self.progress.fraction)
            spent += (self.ranks[1] - self.ranks[0] + 1) * seconds
        return spent

    def lose(self, living: Sequence[int]) -> None:
        """Takes in which ranks live: those of the group that are lost leave it."""
        left = [] if self.ranks is None else [rank for rank in living if self.ranks[0] <= rank <= self.ranks[1]]
        self.ranks = (left[0], left[-1]) if left else None


@dataclass
class AttemptHistory:
    """The history of one attempt at a run.

    Attributes:
        number: number of the attempt, from 1.
        id: name of the attempt in the batch script (`HPCMTL_ATTEMPT_ID`); empty outside of one.
        host: host of rank 0.
        started: time of its start.
        latest: time of its last event.
        cancelled_by: user who cancelled the whole job in this attempt; empty if none did. Such a run is not tried again
            without a person.
        progressed: true if the attempt brought the run further: a layer ended, a checkpoint of a new step was written,
            or steps were done before a stop.
    """

    number: int = 0
    id: str = ""
    host: str = ""
    started: float = 0.0
    latest: float = 0.0
    cancelled_by: str = ""
    progressed: bool = False


@dataclass(frozen=True, kw_only=True)
class MeasuredLayer:
    """A layer that ran to its end while the ranks had the numbers with which their attempt began.

    Attributes:
        first_rank: first rank of the group.
        world: number of ranks of the world; 0 if unknown.
        layer: event of its end.
    """

    first_rank: int
    world: int
    layer: LayerEnded
