"""A strategy of another kind needs no change of the loop: local SGD, with parameters averaged every few steps."""

from __future__ import annotations

import gluon_suite
import numpy as np
import pytest
import replica_suite as suite

from hpcmtl.communicators.inproc import run_ranks
from hpcmtl.exchange.store import PARAMETERS
from hpcmtl.training.collectives.mpi import MpiCollective
from hpcmtl.training.gluon.framework import GluonFramework
from hpcmtl.training.strategies.base import StrategyFacts


class LocalSgd:
    """Averages trained parameters and statistics every `steps` steps (Stich, Local SGD Converges Fast, ICLR 2019)."""

    replicas_equal = False
    loss_scale = None

    def __init__(self, group, steps):
        self.group, self.collective, self.steps = group, MpiCollective(group), steps
        self.facts = StrategyFacts("mpi", "local SGD")

    def gradient_scale(self, global_samples):
        return self.collective.size / global_samples

    def after_backward(self, learner, which="gradients"):
        return 1.0

    def after_step(self, learner, step):
        if step % self.steps == 0:
            self.consolidate(learner)

    def sum(self, array):
        self.group.Allreduce(array)

    def synchronise(self, learner):
        self.collective.broadcast(list(learner.views("parameters").values()))

    def consolidate(self, learner):
        for which in ("trained", "statistics"):
            self.collective.mean(list(learner.views(which).values()))

    def state(self):
        return {}

    def load_state(self, state):
        pass

    def close(self):
        self.collective.close()


def setup(steps):
    """Gluon with local SGD; momentum would need an average of its own."""
    return suite.Setup(
        GluonFramework(),
        "mpi",
        models=(suite.MLP, gluon_suite.CONVNET),
        optimizers=((suite.PLAIN_SGD, 0.05),),
        open_strategy=lambda _settings, _learner, _framework, group: LocalSgd(group, steps),
    )


@pytest.mark.parametrize("ranks", [1, pytest.param(2, marks=pytest.mark.slow), 3])
@pytest.mark.parametrize("check", suite.CHECKS, ids=lambda check: check.__name__)
def test_with_one_local_step_it_is_exact(check, ranks):
    """Parameters averaged after every step are those of one rank on the whole batches."""
    run_ranks(ranks, check, setup(1))


def test_local_steps_are_local():
    """With three local steps the ranks are apart in between, and together after steps 3 and 6, as numpy has it."""

    def on_rank(group):
        with suite.opened(setup(3), group, suite.LINEAR) as replica:
            learner, values = replica.learner, [replica.learner.parameters_matching("*")]
            for number, batch in enumerate(suite.batches()[:6]):
                replica.step(suite.dealt(batch, group.rank, group.size), 0.05, number)
                values.append(learner.parameters_matching("*"))
        return values

    first, second = run_ranks(2, on_rank)
    together = [all(np.array_equal(one[n], other[n]) for n in one) for one, other in zip(first, second, strict=True)]
    reference = numpy_local_sgd(first[0], ranks=2, steps=3)

    assert together == [True, False, False, True, False, False, True]
    for name, array in reference.items():
        np.testing.assert_allclose(first[6][name], array, rtol=0, atol=1e-5)


def numpy_local_sgd(start, ranks, steps):
    """Local SGD on a linear model with softmax cross-entropy, in float64."""
    mine = [{name: array.astype(np.float64) for name, array in start.items()} for _ in range(ranks)]
    for number, batch in enumerate(suite.batches()[:6]):
        for rank, values in enumerate(mine):
            share = suite.dealt(batch, rank, ranks)
            inputs = share.inputs["input"].reshape(len(share.inputs["input"]), -1)
            chances = np.exp(inputs @ values["output.weight"].T + values["output.bias"])
            chances /= chances.sum(axis=1, keepdims=True)
            slopes = (chances - np.eye(3)[share.targets[0]]) * share.weights[:, None] * ranks / batch.global_samples
            for name, gradient in (("output.weight", slopes.T @ inputs), ("output.bias", slopes.sum(axis=0))):
                values[name] = values[name] - 0.05 * (gradient + suite.PLAIN_SGD.weight_decay * values[name])
        if (number + 1) % steps == 0:
            mean = {name: np.mean([values[name] for values in mine], axis=0) for name in start}
            mine = [dict(mean) for _ in range(ranks)]
    return mine[0]


def test_a_whole_task_trains_by_it(bench, task, monkeypatch):
    """A session with layers and checkpoints takes the strategy as it takes allreduce, to the same weights."""
    tasks = {"digit": task(optimizer={"name": "sgd", "learning_rate": 0.05}, engine="mpi")}
    allreduce, local = bench(tasks), bench(tasks, layers=3)
    allreduce.run("digit", 2)
    monkeypatch.setattr(
        "hpcmtl.training.sessions.replicas.open_strategy",
        lambda _settings, _learner, _framework, group: LocalSgd(group, 1),
    )
    outcomes = local.run_by_layers("digit", [2, 2, 2])
    one, other = allreduce.parameters("digit"), local.parameters("digit")

    assert outcomes[-1].engine_reason == "local SGD"
    assert all(name.startswith(PARAMETERS) for name in one)
    assert max(float(np.abs(one[name] - other[name]).max()) for name in one) < suite.BOUND
