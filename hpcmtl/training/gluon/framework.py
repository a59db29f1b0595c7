"""MXNet/Gluon as a `Framework`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hpcmtl.frameworks.device import HOST
from hpcmtl.training.collectives.base import CollectiveFactory
from hpcmtl.training.gluon.check import check
from hpcmtl.training.gluon.collectives.horovod import HorovodCollective, horovod_unusable
from hpcmtl.training.gluon.collectives.kvstore import KVStoreCollective
from hpcmtl.training.gluon.compression import Fp16Halves
from hpcmtl.training.gluon.context import gpu_problem
from hpcmtl.training.gluon.gpu_learner import GluonGpuLearner
from hpcmtl.training.gluon.learner import GluonLearner
from hpcmtl.training.gluon.network import GluonNetwork
from hpcmtl.training.gluon.onednn import prepare_environment

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from hpcmtl.frameworks.device import Device
    from hpcmtl.frameworks.environment import EnvironmentNeeds
    from hpcmtl.jobfile.kinds import FrameworkNeeds
    from hpcmtl.networks.description import NetworkDescription
    from hpcmtl.networks.objective import Objective
    from hpcmtl.networks.shapes import InputShapes
    from hpcmtl.training.learner_settings import LearnerSettings
    from hpcmtl.training.network_facts import NetworkFacts
    from hpcmtl.training.strategies.compressors import Compressor


class GluonFramework:
    """Makes Gluon networks and learners; see `Framework`."""

    def network(
        self, network: NetworkDescription, samples: InputShapes, names: tuple[str, ...], device: Device = HOST
    ) -> GluonNetwork:
        """See `Framework`."""
        return GluonNetwork(network, samples, names, seed=0, device=device)

    def prepare_environment(self, tasks: Mapping[str, FrameworkNeeds]) -> EnvironmentNeeds:
        """See `Framework`."""
        return prepare_environment(tasks)

    def gpu_problem(self, number: int) -> str | None:
        """See `Framework`."""
        return gpu_problem(number)

    def check(self, needs: FrameworkNeeds) -> NetworkFacts | None:
        """See `Framework`."""
        return check(needs)

    def learner(
        self,
        network: NetworkDescription,
        samples: InputShapes,
        objectives: tuple[Objective, ...],
        settings: LearnerSettings,
        device: Device = HOST,
    ) -> GluonLearner:
        """See `Framework`."""
        make = GluonLearner if device.kind == "cpu" else GluonGpuLearner
        return make(network, samples, objectives, settings, device)

    def collectives(self) -> Mapping[str, CollectiveFactory]:
        """See `Framework`."""
        return {
            "horovod": CollectiveFactory(open=HorovodCollective, unusable=horovod_unusable),
            "kvstore": CollectiveFactory(open=KVStoreCollective),
        }

    def compressors(self) -> Mapping[str, Callable[[], Compressor]]:
        """See `Framework`."""
        return {"fp16": Fp16Halves}
