"""Replicas of a training task on a group: a learner for what is trained in an epoch, and its synchronisation."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from hpcmtl.jobfile.kinds import kind_of
from hpcmtl.training.learner_settings import settings_of
from hpcmtl.training.replica import Replica
from hpcmtl.training.sessions.input_sources import input_sources, shapes_of
from hpcmtl.training.sessions.task_gradients import task_gradients
from hpcmtl.training.strategies.select import StrategySettings, open_strategy

if TYPE_CHECKING:
    from hpcmtl.data.batches import BatchSpec
    from hpcmtl.training.kinds.schemas import Trained
    from hpcmtl.training.session import SessionContext
    from hpcmtl.training.sessions.course import Course


@dataclass(frozen=True, kw_only=True)
class ReplicaMaker:
    """Makes the replicas of one task.

    Attributes:
        task: the task.
        spec: what its batches read.
        steps_per_epoch: number of steps in an epoch.
        course: what is trained in which epoch.
    """

    task: Trained
    spec: BatchSpec
    steps_per_epoch: int
    course: Course

    @property
    def synchronisation(self) -> StrategySettings:
        """Returns the settings of the synchronisation."""
        task = self.task
        assert task.engine is not None and task.compression is not None  # noqa: PT018
        return StrategySettings(task.engine, task.compression, scales_loss=task.precision == "fp16")

    def make(self, context: SessionContext, epoch: int) -> Replica:
        """Makes a replica with first parameters, open on the group of a context (collective)."""
        task, course, kind = self.task, self.course, kind_of(context.job, context.task)
        assert task.optimizer is not None, "defaults are filled in"
        network, objectives = kind.network(context.job, context.task), course.objectives()
        shapes = shapes_of(input_sources(self.spec.sources))
        frozen, for_now = course.frozen(epoch), course.frozen_for_now(epoch)
        consistency = kind.consistency(context.job, context.task)
        settings = settings_of(task, context.seed("initial parameters"), consistency)
        settings = replace(settings, freeze=frozen, frozen_for_now=for_now)
        learner = context.framework.learner(network, shapes, objectives, settings, context.device)
        strategy = open_strategy(self.synchronisation, learner, context.framework, context.group)
        gradients = task_gradients(context, objectives, self.spec, self.steps_per_epoch, task.epochs)
        replica = Replica(learner, strategy, gradients, context.streams, task.optimizer.clip_norm)
        replica.penalty = course.penalty
        return replica


class ReplicaOfEpoch:
    """Holds the replica of a task, for what is trained in the present epoch.

    Attributes:
        replica: the replica.
        synchronisation: settings of its synchronisation.
    """

    def __init__(self, maker: ReplicaMaker, context: SessionContext) -> None:
        """Makes the replica of the first epoch (collective)."""
        self._maker, self._frozen = maker, maker.course.frozen(0)
        self.synchronisation, self.replica = maker.synchronisation, maker.make(context, 0)

    def is_other(self, epoch: int) -> bool:
        """Returns whether something else is trained in an epoch."""
        return self._maker.course.frozen(epoch) != self._frozen

    def enter(self, context: SessionContext, epoch: int) -> bool:
        """Makes another replica if something else is trained in an epoch (collective).

        Returns:
            Whether there is a new replica, with first parameters and without a state.
        """
        if self.is_other(epoch):
            self._change(context, epoch)
            return True
        return False

    def join(self, context: SessionContext) -> bool:
        """Continues on another group, before the first step of a course (collective).

        Ranks may come from different epochs. Where they trained different parameters all make a new one: replicas that
        differ cannot be joined, and all ranks must enter the next epoch in the same way.

        Returns:
            Whether there is a new replica, with first parameters and without a state.
        """
        if any(frozen != self._frozen for frozen in context.group.allgather(self._frozen)):
            self._change(context, 0)
            return True
        strategy = open_strategy(self.synchronisation, self.replica.learner, context.framework, context.group)
        self.replica.join(strategy, context.streams)
        return False

    def _change(self, context: SessionContext, epoch: int) -> None:
        before = self.replica
        before.close()
        self.replica, self._frozen = self._maker.make(context, epoch), self._maker.course.frozen(epoch)
        self.replica.follow(before)
