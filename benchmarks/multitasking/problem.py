"""A joint network with several heads, batches for it, and replicas that train it by a method."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from hpcmtl.data.shard import shard
from hpcmtl.jobfile.tasks import Optimizer
from hpcmtl.jobfile.weighting import GradientMeasuring
from hpcmtl.networks.description import Leaf, Shared
from hpcmtl.networks.models import Mlp
from hpcmtl.networks.objective import Objective
from hpcmtl.training.frameworks import open_framework
from hpcmtl.training.learner_settings import LearnerSettings
from hpcmtl.training.multitask.methods import make_method
from hpcmtl.training.multitask.step_gradients import StepGradients
from hpcmtl.training.multitask.weightings.base import WeightingSetup
from hpcmtl.training.replica import Replica
from hpcmtl.training.step_input import StepInput
from hpcmtl.training.strategies.select import StrategySettings, open_strategy

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from hpcmtl.communicators.base import Communicator
    from hpcmtl.networks.models import Model

CLASSES = 10


def objectives_of(count: int) -> tuple[Objective, ...]:
    """Returns objectives of classes, with unequal weights."""
    return tuple(Objective(f"o{number}", "", "softmax_ce", 0.5 + number, ()) for number in range(count))


def joint_network(trunk: Model, count: int) -> Shared:
    """Returns a network with a linear head for each objective."""
    heads = tuple((each.name, Leaf(Mlp(widths=(), outputs=CLASSES))) for each in objectives_of(count))
    return Shared(Leaf(trunk), heads)


def step_inputs(
    shape: tuple[int, ...], count: int, sizes: Sequence[int], *, missing: float = 0.0, seed: int = 0
) -> list[StepInput]:
    """Returns batches of some sizes; a share of the labels is missing, and counts nothing."""
    random, found = np.random.default_rng(seed), []
    for size in sizes:
        targets = tuple(random.integers(0, CLASSES, size) for _ in range(count))
        known = [(random.random(size) >= missing).astype(np.float32) for _ in range(count)]
        labels = tuple(each * size / max(each.sum(), 1) for each in known) if missing else ()
        inputs = {"input": random.normal(size=(size, *shape)).astype(np.float32)}
        found.append(StepInput(inputs, targets, np.ones(size, np.float32), size, label_weights=labels))
    return found


def share_of(batch: StepInput, rank: int, ranks: int) -> StepInput:
    """Returns the share of a rank; a rank without a row gets the first one, at a weight of 0."""
    rows = shard(np.arange(batch.global_samples), rank, ranks)
    filler = len(rows) == 0
    rows = np.zeros(1, int) if filler else rows
    return StepInput(
        {name: array[rows] for name, array in batch.inputs.items()},
        tuple(target[rows] for target in batch.targets),
        batch.weights[rows] * np.float32(not filler),
        batch.global_samples,
        ranks,
        filler,
        tuple(None if each is None else each[rows] for each in batch.label_weights),
    )


def replica_by(
    name: str, library: str, trunk: Model, shape: tuple[int, ...], count: int, *, group: Communicator
) -> Replica:
    """Returns a replica that trains by a method; `group` is the group of its ranks."""
    objectives, framework = objectives_of(count), open_framework(library)
    settings = LearnerSettings(Optimizer(name="sgd", learning_rate=0.02), seed=3)
    learner = framework.learner(joint_network(trunk, count), {"input": shape}, objectives, settings)
    strategy = open_strategy(StrategySettings("mpi" if group.size > 1 else "local"), learner, framework, group)
    setup = WeightingSetup(objectives=tuple(each.name for each in objectives), seed=5)
    options = {"fixed": {"weights": [1.0] * count}}.get(name, {})
    replica = Replica(learner, strategy, StepGradients(make_method(name, options, setup), objectives, 10))
    replica.synchronise()
    return replica


def measured_by(replica: Replica, name: str, count: int, measuring: Mapping[str, Any]) -> Replica:
    """Returns a replica that was made by `replica_by`, with a method that measures gradients in another way."""
    objectives = objectives_of(count)
    setup = WeightingSetup(objectives=tuple(each.name for each in objectives), seed=5)
    replica.gradients = StepGradients(make_method(name, {}, setup), objectives, 10, GradientMeasuring(**measuring))
    return replica
