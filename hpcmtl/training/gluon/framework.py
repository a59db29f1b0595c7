"""MXNet/Gluon as a `Framework`."""

from __future__ import annotations

import logging
from contextlib import contextmanager
from typing import TYPE_CHECKING

from hpcmtl.errors import InputError, Problem
from hpcmtl.jobfile.network import applied_to, network_of, objectives_of
from hpcmtl.jobfile.resolve import resolve
from hpcmtl.jobfile.schema import Extract, Joint, Python, Train
from hpcmtl.training.gluon.coupled import coupling_problems
from hpcmtl.training.gluon.engines.select import choose_engine, open_engine
from hpcmtl.training.gluon.learner import GluonLearner, GluonNetwork, freeze
from hpcmtl.training.gluon.losses import make_loss
from hpcmtl.training.gluon.optimizer import make_optimizer
from hpcmtl.training.gluon.zoo import build, part_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from hpcmtl.communicators.base import Communicator
    from hpcmtl.jobfile.arrays import ArraySpec
    from hpcmtl.jobfile.schema import Job
    from hpcmtl.networks.description import NetworkDescription
    from hpcmtl.networks.models import Shape
    from hpcmtl.networks.objective import Objective
    from hpcmtl.training.gluon.engines.base import Engine
    from hpcmtl.training.gluon.engines.select import Choice
    from hpcmtl.training.learner import Learner, LearnerSettings

_log = logging.getLogger(__name__)


class GluonFramework:
    """Makes Gluon networks and learners; see `Framework`."""

    def network(self, network: NetworkDescription, sample: Shape, names: tuple[str, ...]) -> GluonNetwork:
        """See `Framework`."""
        return GluonNetwork(network, sample, names, seed=0)

    def problems_with(self, job: Job, arrays: Mapping[str, ArraySpec]) -> list[Problem]:
        """See `Framework`."""
        problems: list[Problem] = []
        for name, task in job.tasks.items():
            try:
                if isinstance(task, Train | Joint):
                    _try_training(job, task, arrays)
                elif isinstance(task, Extract):
                    _try_part(job, task, arrays)
                elif isinstance(task, Python):
                    resolve(task.callable)
            except InputError as error:
                problems += [Problem(f"tasks.{name}: {problem.where}", problem.message) for problem in error.problems]
        return problems or list(coupling_problems(job, arrays))

    def learner(
        self,
        network: tuple[NetworkDescription, Shape],
        objectives: tuple[Objective, ...],
        settings: LearnerSettings,
        group: Communicator,
    ) -> GluonLearner:
        """See `Framework`."""
        engine = _engine(settings, group)
        with _closed_on_error(engine[1]):
            return GluonLearner(network, objectives, settings, engine, group)

    def join(self, learner: Learner, settings: LearnerSettings, group: Communicator) -> None:
        """See `Framework`."""
        assert isinstance(learner, GluonLearner)
        engine = _engine(settings, group)
        with _closed_on_error(engine[1]):
            learner.join(engine, group)


@contextmanager
def _closed_on_error(engine: Engine) -> Iterator[None]:
    """A process has one Horovod: who leaves it open takes it from all tasks that come."""
    try:
        yield
    except BaseException:
        engine.close()
        raise


def _engine(settings: LearnerSettings, group: Communicator) -> tuple[Choice, Engine]:
    """The engine that a group gets, open; says so if it is another one than was asked for."""
    choice = choose_engine(settings.engine, group)
    fell_back = group.size > 1 and choice.name != settings.engine.rstrip("!")
    if group.rank == 0:
        _log.log(logging.WARNING if fell_back else logging.DEBUG, "engine %s: %s", choice.name, choice.reason)
    return choice, open_engine(choice, group)


def _try_training(job: Job, task: Train | Joint, arrays: Mapping[str, ArraySpec]) -> None:
    """Build what a task trains with.

    Raises:
        InputError: if something of it cannot be used.
    """
    objectives = objectives_of(job, task)
    for objective in objectives:
        make_loss(objective.loss)
    if task.optimizer is not None:
        make_optimizer(task.optimizer)
    array = arrays.get(task.input)
    if array is not None and array.shape is not None:
        names = [objective.name for objective in objectives]
        freeze(GluonNetwork(network_of(job, task), array.shape, names, seed=0).parameters, task.freeze)


def _try_part(job: Job, task: Extract, arrays: Mapping[str, ArraySpec]) -> None:
    """Look for the part of a network that is to be extracted.

    Raises:
        InputError: if it is not there.
    """
    trained = applied_to(job, task)
    array = arrays.get(task.input or trained.input)
    if array is not None and array.shape is not None:
        part_of(build(network_of(job, trained), array.shape), task.output)
