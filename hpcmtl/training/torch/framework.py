"""PyTorch as a `Framework`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hpcmtl.frameworks.device import HOST
from hpcmtl.frameworks.environment import EnvironmentNeeds
from hpcmtl.training.collectives.base import CollectiveFactory
from hpcmtl.training.torch.check import check
from hpcmtl.training.torch.collectives.nccl import nccl_misfit, nccl_unusable, open_nccl
from hpcmtl.training.torch.compression import TensorHalves
from hpcmtl.training.torch.gpu_learner import TorchGpuLearner
from hpcmtl.training.torch.learner import TorchLearner
from hpcmtl.training.torch.network import TorchNetwork
from hpcmtl.training.torch.place import gpu_problem

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from hpcmtl.frameworks.device import Device
    from hpcmtl.jobfile.kinds import FrameworkNeeds
    from hpcmtl.networks.description import NetworkDescription
    from hpcmtl.networks.objective import Objective
    from hpcmtl.networks.shapes import InputShapes
    from hpcmtl.training.learner_settings import LearnerSettings
    from hpcmtl.training.network_facts import NetworkFacts
    from hpcmtl.training.strategies.compressors import Compressor


class TorchFramework:
    """Makes PyTorch networks and learners; see `Framework`."""

    def network(
        self, network: NetworkDescription, samples: InputShapes, names: tuple[str, ...], device: Device = HOST
    ) -> TorchNetwork:
        """See `Framework`."""
        return TorchNetwork(network, samples, names, seed=0, device=device)

    def prepare_environment(self, tasks: Mapping[str, FrameworkNeeds]) -> EnvironmentNeeds:  # noqa: ARG002 - the seam's form
        """See `Framework`; PyTorch needs no variables."""
        return EnvironmentNeeds()

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
    ) -> TorchLearner:
        """See `Framework`."""
        make = TorchLearner if device.kind == "cpu" else TorchGpuLearner
        return make(network, samples, objectives, settings, device)

    def collectives(self) -> Mapping[str, CollectiveFactory]:
        """See `Framework`; those over numpy views come with hpcmtl, and PyTorch shares the host's memory with numpy."""
        return {"nccl": CollectiveFactory(open=open_nccl, unusable=nccl_unusable, misfit=nccl_misfit)}

    def compressors(self) -> Mapping[str, Callable[[], Compressor]]:
        """See `Framework`."""
        return {"fp16": TensorHalves}
