"""MXNet/Gluon as a `Framework`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hpcmtl.errors import located
from hpcmtl.frameworks.device import HOST
from hpcmtl.jobfile.network import applied_to, network_of, objectives_of
from hpcmtl.jobfile.schema import Extract, Joint, Train
from hpcmtl.training.collectives.base import CollectiveFactory
from hpcmtl.training.gluon.collectives.horovod import HorovodCollective, horovod_unusable
from hpcmtl.training.gluon.collectives.kvstore import KVStoreCollective
from hpcmtl.training.gluon.compression import Fp16Halves
from hpcmtl.training.gluon.coupled import coupling_problems
from hpcmtl.training.gluon.learner import GluonLearner, GluonNetwork, freeze
from hpcmtl.training.gluon.losses import make_loss
from hpcmtl.training.gluon.optimizer import make_optimizer
from hpcmtl.training.gluon.zoo import build, part_of

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from hpcmtl.errors import Problem
    from hpcmtl.frameworks.device import Device
    from hpcmtl.jobfile.arrays import ArraySpec
    from hpcmtl.jobfile.schema import Job
    from hpcmtl.networks.description import NetworkDescription
    from hpcmtl.networks.models import Shape
    from hpcmtl.networks.objective import Objective
    from hpcmtl.training.learner import LearnerSettings
    from hpcmtl.training.strategies.compressors import Compressor


class GluonFramework:
    """Makes Gluon networks and learners; see `Framework`."""

    def network(
        self, network: NetworkDescription, sample: Shape, names: tuple[str, ...], device: Device = HOST
    ) -> GluonNetwork:
        """See `Framework`."""
        return GluonNetwork(network, sample, names, seed=0, device=device)

    def problems_with(self, job: Job, arrays: Mapping[str, ArraySpec], tasks: Collection[str]) -> list[Problem]:
        """See `Framework`."""
        problems: list[Problem] = []
        for name in tasks:
            task = job.tasks[name]
            with located(f"tasks.{name}", problems):
                if isinstance(task, Train | Joint):
                    _try_training(job, task, arrays)
                elif isinstance(task, Extract):
                    _try_part(job, task, arrays)
        return problems or list(coupling_problems(job, arrays, tasks))

    def learner(
        self,
        network: tuple[NetworkDescription, Shape],
        objectives: tuple[Objective, ...],
        settings: LearnerSettings,
        device: Device = HOST,
    ) -> GluonLearner:
        """See `Framework`."""
        return GluonLearner(network, objectives, settings, device)

    def collectives(self) -> Mapping[str, CollectiveFactory]:
        """See `Framework`."""
        return {
            "horovod": CollectiveFactory(open=HorovodCollective, unusable=horovod_unusable),
            "kvstore": CollectiveFactory(open=KVStoreCollective),
        }

    def compressors(self) -> Mapping[str, Callable[[], Compressor]]:
        """See `Framework`."""
        return {"fp16": Fp16Halves}


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
