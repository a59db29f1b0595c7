"""Trainings of the check of GPUs: made-up batches, replicas on a device, and the difference of two of them."""

from __future__ import annotations

import time
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from hpcmtl.exchange.store import PARAMETERS
from hpcmtl.jobfile.tasks import Optimizer
from hpcmtl.networks.description import Leaf
from hpcmtl.networks.models import ConvNet, Mlp
from hpcmtl.networks.objective import Objective
from hpcmtl.training.learner_settings import LearnerSettings
from hpcmtl.training.multitask.step_gradients import weighted_sum
from hpcmtl.training.replica import Replica
from hpcmtl.training.step_input import StepInput
from hpcmtl.training.strategies.select import StrategySettings, open_strategy

if TYPE_CHECKING:
    from collections.abc import Callable

    from hpcmtl.arrays import Arrays
    from hpcmtl.communicators.base import Communicator
    from hpcmtl.frameworks.device import Device

IMAGE, BATCH, RATE = (1, 28, 28), 256, 0.02
MODELS = {"mlp": Mlp(widths=(256, 128), outputs=10), "convnet": ConvNet(channels=(16, 32), widths=(64,), outputs=10)}
OPTIMIZERS = {
    "sgd": Optimizer(name="sgd", learning_rate=RATE, options={"momentum": 0.9}),
    "adam": Optimizer(name="adam", learning_rate=1e-3),
}
OBJECTIVES = (Objective("main", "", "softmax_ce", 1.0, ()),)


def batch_of(number: int, rank: int = 0, ranks: int = 1) -> StepInput:
    """Returns one rank's share of a batch of made-up images."""
    generator = np.random.default_rng(number)
    images = generator.normal(size=(BATCH, *IMAGE)).astype(np.float32)
    digits = (images.reshape(BATCH, -1)[:, :10]).argmax(axis=1)
    mine = slice(rank * BATCH // ranks, (rank + 1) * BATCH // ranks)
    weights = np.ones(len(images[mine]), np.float32)
    return StepInput({"input": images[mine]}, (digits[mine],), weights, BATCH, ranks)


def replica_on(
    group: Communicator, device: Device, model: str, optimizer: str, *, engine: str = "local", compression: str = "none"
) -> Replica:
    """Makes a replica of a task on a group."""
    from hpcmtl.training.torch.framework import TorchFramework

    framework: Any = _with_gloo() if engine == "gloo" else TorchFramework()
    settings = LearnerSettings(OPTIMIZERS[optimizer], seed=3)
    learner = framework.learner(Leaf(MODELS[model]), {"input": IMAGE}, OBJECTIVES, settings, device)
    strategy = open_strategy(StrategySettings(engine, compression), learner, framework, group)
    replica = Replica(learner, strategy, weighted_sum(OBJECTIVES))
    replica.synchronise()
    return replica


def _with_gloo() -> Any:
    """Returns PyTorch with the collective of NCCL run by Gloo, for a rehearsal."""
    from hpcmtl.training.collectives.base import CollectiveFactory
    from hpcmtl.training.torch.collectives.nccl import ProcessGroupCollective
    from hpcmtl.training.torch.framework import TorchFramework

    class WithGloo(TorchFramework):
        def collectives(self) -> dict[str, CollectiveFactory]:
            return {"gloo": CollectiveFactory(open=partial(ProcessGroupCollective, backend="gloo"))}

    return WithGloo()


def trained(steps: int, device: Device, model: str, optimizer: str, group: Communicator, **options: Any) -> Arrays:
    """Returns the state after some steps, with the parameters before them under ``before/``."""
    replica = replica_on(group, device, model, optimizer, **options)
    try:
        before = {f"before/{name}": array for name, array in replica.state().items() if name.startswith(PARAMETERS)}
        for number in range(steps):
            replica.step(batch_of(number, group.rank, group.size), RATE if optimizer == "sgd" else 1e-3, number)
        return {**before, **replica.state()}
    finally:
        replica.close()


def difference(one: Arrays, other: Arrays) -> float:
    """Returns the largest difference of two trainings by the largest change that one of them made."""
    names = [name for name in one if name.startswith(PARAMETERS)]
    change = max(np.abs(one[name] - one[f"before/{name}"]).max() for name in names if f"before/{name}" in one)
    return float(max(np.abs(one[name] - other[name]).max() for name in names) / change)


def timed(work: Callable[[], None], torch: Any) -> float:
    """Returns the seconds of some work, that of the GPU included."""
    start = time.perf_counter()
    work()
    if torch.cuda.is_initialized():
        torch.cuda.synchronize()
    return time.perf_counter() - start
