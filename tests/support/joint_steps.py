"""A joint network with three objectives, batches for it, its replicas, and its gradients in plain numpy."""

from __future__ import annotations

import numpy as np
import replica_suite as suite

from hpcmtl.networks.description import Leaf, Shared
from hpcmtl.networks.models import Mlp
from hpcmtl.networks.objective import Objective
from hpcmtl.training.frameworks import open_framework
from hpcmtl.training.learner_settings import LearnerSettings
from hpcmtl.training.multitask.weightings.base import WeightingSetup
from hpcmtl.training.replica import Replica
from hpcmtl.training.step_input import StepInput
from hpcmtl.training.strategies.select import StrategySettings, open_strategy

THREE = (
    Objective("digit", "", "softmax_ce", 0.25, ()),
    Objective("size", "", "l2", 3.0, ()),
    Objective("tilt", "", "l2", 1.0, ()),
)
HEADS = tuple((name, Leaf(Mlp(widths=(), outputs=width))) for name, width in (("digit", 3), ("size", 1), ("tilt", 2)))
NETWORK = Shared(Leaf(Mlp(widths=(8,), outputs=5, activation="tanh")), HEADS)
DROPOUT = Shared(Leaf(Mlp(widths=(8,), outputs=5, activation="tanh", dropout=0.5)), HEADS)
SETUP = WeightingSetup(objectives=tuple(each.name for each in THREE), seed=11)
FACTORS = [each.weight for each in THREE]


def batches():
    """Batches with a class, a size and two tilts for each sample; some have fewer rows than a group has ranks."""
    generator = np.random.default_rng(9)
    return [
        StepInput(
            each.inputs,
            (
                each.targets[0],
                generator.normal(size=(each.global_samples, 1)).astype(np.float32),
                generator.normal(size=(each.global_samples, 2)).astype(np.float32),
            ),
            each.weights,
            each.global_samples,
        )
        for each in suite.batches()
    ]


def replica_on(group, gradients, library="torch", network=NETWORK, scales_loss=False):
    """A replica with three objectives."""
    made = open_framework(library)
    learner = made.learner(network, {"input": suite.IMAGE}, THREE, LearnerSettings(suite.PLAIN_SGD, seed=3))
    strategy = open_strategy(StrategySettings("mpi", scales_loss=scales_loss), learner, made, group)
    replica = Replica(learner, strategy, gradients)
    replica.synchronise()
    return replica


def plain_gradients(values, batch):
    """Gradients of the three mean losses, times their factors, of the network in numpy, by name."""
    w1 = values["trunk.output.weight"]
    inputs, hidden, code = _forward(values, batch)
    found = []
    for objective, slope in zip(THREE, _slopes(values, batch, code), strict=True):
        back = slope @ values[f"heads.{objective.name}.output.weight"]
        deep = (back @ w1) * (1 - hidden**2)
        found.append(
            {
                "trunk.body.1.weight": deep.T @ inputs,
                "trunk.body.1.bias": deep.sum(axis=0),
                "trunk.output.weight": back.T @ hidden,
                "trunk.output.bias": back.sum(axis=0),
                f"heads.{objective.name}.output.weight": slope.T @ code,
                f"heads.{objective.name}.output.bias": slope.sum(axis=0),
            }
        )
    return found


def code_gradients(values, batch):
    """Gradients of the three mean losses, times their factors, by the output of the trunk, a row an objective."""
    slopes = _slopes(values, batch, _forward(values, batch)[-1])
    return np.stack(
        [
            (slope @ values[f"heads.{objective.name}.output.weight"]).ravel()
            for objective, slope in zip(THREE, slopes, strict=True)
        ]
    )


def _forward(values, batch):
    """Inputs, hidden values and output of the trunk."""
    inputs = batch.inputs["input"].reshape(len(batch.weights), -1).astype(np.float64)
    hidden = np.tanh(inputs @ values["trunk.body.1.weight"].T + values["trunk.body.1.bias"])
    return inputs, hidden, hidden @ values["trunk.output.weight"].T + values["trunk.output.bias"]


def _slopes(values, batch, code):
    """Gradients of the three mean losses, times their factors, by the outputs of the heads."""
    found = []
    for objective, target in zip(THREE, batch.targets, strict=True):
        weight, bias = values[f"heads.{objective.name}.output.weight"], values[f"heads.{objective.name}.output.bias"]
        output = code @ weight.T + bias
        if objective.loss == "softmax_ce":
            powers = np.exp(output - output.max(axis=1, keepdims=True))
            slope = powers / powers.sum(axis=1, keepdims=True)
            slope[np.arange(len(slope)), target.astype(int)] -= 1
        else:
            slope = (output - target.reshape(output.shape)) / output.shape[1]
        found.append(slope * (objective.weight / batch.global_samples) * batch.weights[:, None])
    return found


def trunk_rows(gradients):
    """The gradients by the trunk, a row an objective."""
    return np.stack([np.concatenate([a.ravel() for n, a in each.items() if "trunk" in n]) for each in gradients])
