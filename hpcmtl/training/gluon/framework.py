"""MXNet/Gluon as a `Framework`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hpcmtl.errors import located
from hpcmtl.frameworks.device import HOST
from hpcmtl.jobfile.kinds import kind_of
from hpcmtl.training.collectives.base import CollectiveFactory
from hpcmtl.training.gluon.collectives.horovod import HorovodCollective, horovod_unusable
from hpcmtl.training.gluon.collectives.kvstore import KVStoreCollective
from hpcmtl.training.gluon.compression import Fp16Halves
from hpcmtl.training.gluon.coupled import coupling_problems
from hpcmtl.training.gluon.learner import GluonLearner
from hpcmtl.training.gluon.losses import make_loss
from hpcmtl.training.gluon.network import GluonNetwork
from hpcmtl.training.gluon.optimizer import make_optimizer
from hpcmtl.training.gluon.parameters import freeze
from hpcmtl.training.gluon.zoo import build, part_of

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from hpcmtl.errors import Problem
    from hpcmtl.frameworks.device import Device
    from hpcmtl.jobfile.arrays import ArraySpec
    from hpcmtl.jobfile.kinds import FrameworkNeeds
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
            with located(f"tasks.{name}", problems):
                _try(kind_of(job, name).framework_needs(job, name, arrays))
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


def _try(needs: FrameworkNeeds) -> None:
    """Builds all that a task needs of the framework, and drops it again.

    Raises:
        InputError: a part of it cannot be used.
    """
    for objective in needs.objectives:
        make_loss(objective.loss)
    if needs.optimizer is not None:
        make_optimizer(needs.optimizer)
    if needs.network is None or needs.sample is None:
        return
    if needs.part is not None:
        part_of(build(needs.network, needs.sample), needs.part)
    else:
        names = [objective.name for objective in needs.objectives]
        freeze(GluonNetwork(needs.network, needs.sample, names, seed=0).parameters, needs.freeze)
