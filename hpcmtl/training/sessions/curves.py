"""The curves of a training task: its losses and other measurements, by steps and by epochs, as points for the sinks."""

from __future__ import annotations

import math
import time
from collections import deque
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from hpcmtl.results.curves.point import TaskPoints, TrainingPoint, from_fields, to_fields
from hpcmtl.training.loss_totals import NO_LOSSES, LossTotals, stored_totals, totals_of
from hpcmtl.training.sessions.parts import SessionPart
from hpcmtl.training.sessions.task_metrics import named_losses

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from hpcmtl.arrays import Floats
    from hpcmtl.networks.consistency import AnyLoss
    from hpcmtl.training.checkpointing.content import Checkpoint
    from hpcmtl.training.replica import Replica
    from hpcmtl.training.session import SessionContext
    from hpcmtl.training.sessions.parts import EpochEnd
    from hpcmtl.training.sessions.replicas import ReplicaOfEpoch
    from hpcmtl.training.sessions.skipped_steps import SkippedSteps
    from hpcmtl.training.task_steps import Steps

POINTS = 100
"""Smallest number of points of the steps of a task that has as many steps."""
SECONDS_BETWEEN_NORMS = 1.0
COST_OF_NORMS = 0.005
"""Largest share of the time that goes into norms of gradients."""
SECONDS_KEPT = 5.0
"""Seconds for which a checkpoint repeats new points, as rank 0 may die before it has written them."""

_FACT = "curves"  # name among the facts of a checkpoint


class CurveRecorder(SessionPart):
    """Makes the points of the curves of one task; a `StepRecorder` on every rank, of which the group's first sends.

    Losses are exact: each is a mean over all samples since the point before, whatever the group. The partial sums go
    through checkpoints. The first rank measures the norm of the gradient from time to time.

    Attributes:
        validates: whether `epoch_ended` is called at the ends of epochs.
    """

    def __init__(self, made: ReplicaOfEpoch, skipped: SkippedSteps, losses: Sequence[AnyLoss], steps: Steps) -> None:
        """Takes the holder of the present replica, the count of skipped steps, the losses, and the steps.

        `enter` is called before everything else.
        """
        self._replicas, self._skipped, self._steps = made, skipped, steps
        self._names = tuple(each.name for each in losses)
        self._context: SessionContext | None = None
        self.validates = False
        self._every = max(1, steps.total // POINTS)
        self._norm_at, self._norm_cost = -math.inf, 0.0
        self._begin()

    def _begin(self) -> None:
        self._since, self._epoch = NO_LOSSES, NO_LOSSES  # of the steps since the last point, and of the epoch
        self._noted: deque[TrainingPoint] = deque()  # without losses, which are not known yet
        self._norm: float | None = None
        self._before: tuple[int, float] | None = None  # step and time of the last point in this process
        self._made: list[TrainingPoint] = []
        self._sent: deque[TrainingPoint] = deque()
        self._held: TrainingPoint | None = None  # the end of an epoch whose metrics are not known yet

    def enter(self, context: SessionContext, *, validates: bool) -> None:
        """Goes on in a layer on the group of a context."""
        self._context, self.validates = context, validates

    @property
    def _sends(self) -> bool:
        return self._context is not None and self._context.group.rank == 0

    def step_done(self, step: int, rate: float) -> None:
        """See `StepRecorder`."""
        replica = self._replicas.replica
        if self._sends:
            self._take_norm(replica)
        if not self._is_point(step):
            return
        weights, cosines = replica.gradients.weights, replica.gradients.totals.newest_cosines
        weighed = len(weights) == len(self._names) > 1
        self._noted.append(
            TrainingPoint(
                step=step,
                epoch=self._steps.epoch_of(step - 1),
                at=time.time(),
                learning_rate=rate,
                gradient_norm=self._norm,
                loss_scale=replica.strategy.loss_scale,
                skipped_steps=self._skipped.count,
                weights=dict(zip(self._names, map(float, weights), strict=True)) if weighed else {},
                cosines=_finite_rows(cosines),
            )
        )
        if step % self._every == 0:
            self._norm = None

    def _take_norm(self, replica: Replica) -> None:
        """Takes the norm that the last step measured, and asks for that of the next one if it is time."""
        if replica.gradient_norm is not None:
            self._norm = replica.gradient_norm if math.isfinite(replica.gradient_norm) else None
            replica.gradient_norm = None
        now = time.perf_counter()
        if replica.measures_norm:
            self._norm_cost, replica.measures_norm = replica.norm_seconds, False
        elif now - self._norm_at >= max(SECONDS_BETWEEN_NORMS, self._norm_cost / COST_OF_NORMS):
            self._norm_at, replica.measures_norm = now, True

    def losses_known(self, done: int, losses: Floats, shares: Floats) -> None:
        """See `StepRecorder`."""
        first = done - len(losses)
        begun = first
        for step in range(first + 1, done + 1):
            if not self._is_point(step) and step != done:
                continue
            part = slice(begun - first, step - first)
            totals, begun = totals_of(losses[part], shares[part]), step
            self._since, self._epoch = self._since.plus(totals), self._epoch.plus(totals)
            self._make_points(step)
        self._send()

    def _make_points(self, step: int) -> None:
        noted = self._note_of(step)
        if noted is not None and self._ends_steps(step):
            self._made.append(replace(noted, losses=self._means(self._since), samples_per_second=self._pace(noted)))
            self._since = NO_LOSSES
        if step % self._steps.per_epoch == 0:
            if noted is not None:
                self._held = replace(noted, losses=self._means(self._epoch), ends_epoch=True)
                self._give_held(waits=self.validates)
            self._epoch = NO_LOSSES

    def _note_of(self, step: int) -> TrainingPoint | None:
        while self._noted and self._noted[0].step < step:
            self._noted.popleft()
        return self._noted.popleft() if self._noted and self._noted[0].step == step else None

    def _give_held(self, *, waits: bool) -> None:
        if self._held is not None and not waits:
            self._made.append(self._held)
            self._held = None

    def _is_point(self, step: int) -> bool:
        return self._ends_steps(step) or step % self._steps.per_epoch == 0

    def _ends_steps(self, step: int) -> bool:
        return step % self._every == 0 or step == self._steps.total

    def _means(self, totals: LossTotals) -> dict[str, float]:
        return named_losses(totals.means(self._names))

    def _pace(self, point: TrainingPoint) -> float | None:
        """Returns the samples a second since the last point of this process; None if there is none."""
        before, self._before = self._before, (point.step, point.at)
        if before is None or point.at <= before[1]:
            return None
        return self._steps.samples_between(before[0], point.step) / (point.at - before[1])

    def epoch_ended(self, end: EpochEnd) -> bool:
        """See `SessionPart`; adds the metrics of the validation to the point of the epoch."""
        if self._held is not None:
            metrics = {name: value if math.isfinite(value) else None for name, value in end.metrics.items()}
            self._held = replace(self._held, metrics=metrics)
            self._give_held(waits=False)
            self._send()
        return False

    def _send(self) -> None:
        made, self._made = self._made, []
        if not made:
            return
        self._sent.extend(made)
        while self._sent and self._sent[0].at < made[-1].at - SECONDS_KEPT:
            self._sent.popleft()
        if self._context is not None and self._sends:
            self._context.add_points(TaskPoints(self._context.task, tuple(made)))

    def facts(self) -> Mapping[str, Any]:
        """See `SessionPart`."""
        points = [*self._sent, *([] if self._held is None else [self._held])]
        totals = {"since": asdict(self._since), "epoch": asdict(self._epoch)}
        return {_FACT: {**totals, "points": [to_fields(point) for point in points]}}

    def load(self, found: Checkpoint) -> None:
        """See `SessionPart`; the newest points are sent again."""
        self._begin()
        kept = found.facts.get(_FACT)
        if kept is not None:
            self._since, self._epoch = (stored_totals(kept[name], len(self._names)) for name in ("since", "epoch"))
            self._made = [from_fields(point) for point in kept["points"]]
            self._send()


def _finite_rows(cosines: Floats | None) -> tuple[tuple[float, ...], ...]:
    """Returns cosines as rows; none where one is not a number, as that of a gradient of zeros."""
    if cosines is None or not np.isfinite(cosines).all():
        return ()
    return tuple(tuple(map(float, row)) for row in cosines)
