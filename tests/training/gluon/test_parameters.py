"""Parameters of every kind take the steps of `gluon.Trainer`: tied, sparse, fixed, with rates of their own."""

from __future__ import annotations

import gluon_suite
import numpy as np
import pytest
import replica_suite as suite
from own_blocks import mx

from hpcmtl.communicators.inproc import run_ranks
from hpcmtl.exchange.store import PARAMETERS
from hpcmtl.jobfile.resolve import resolve
from hpcmtl.jobfile.tasks import Optimizer
from hpcmtl.networks.models import UserModel

TIED = {
    "params": UserModel(name="own_blocks:tied"),
    "block": UserModel(name="own_blocks:tied", by="block"),
    "transposed": UserModel(name="own_blocks:Transposed"),
    "batch norm": UserModel(name="own_blocks:normalised_twice"),
}
SPARSE = {
    "embedding": UserModel(name="own_blocks:embedded"),
    "tied embedding": UserModel(name="own_blocks:embedded", tied=True),
    "csr input": UserModel(name="own_blocks:SparseProduct"),
    "csr gradient": UserModel(name="own_blocks:SparseProduct", gradients="csr"),
}
SPECIAL = {"special": UserModel(name="own_blocks:Special")}
MODELS = {**TIED, **SPARSE, **SPECIAL}
OPTIMIZERS = {
    "momentum": Optimizer(name="sgd", learning_rate=0.05, weight_decay=0.01, options={"momentum": 0.9}),
    "adam": Optimizer(name="adam", learning_rate=0.05, weight_decay=0.01),
}


def plain_steps(model, optimizer, start):
    """The parameters after the steps of `gluon.Trainer`, from given ones, by their names in the block."""
    block = resolve(model.name)(**model.arguments)
    block.initialize()
    block(mx.nd.zeros((1, *suite.IMAGE)))
    named = block._collect_params_with_prefix()
    for name, parameter in named.items():
        parameter.set_data(mx.nd.array(start[PARAMETERS + name]))
    settings = {"learning_rate": 0.05, "wd": optimizer.weight_decay, **optimizer.options}
    trainer = mx.gluon.Trainer(block.collect_params(), optimizer.name, settings)
    loss = mx.gluon.loss.SoftmaxCrossEntropyLoss()
    for batch in suite.batches():
        block.collect_params().zero_grad()  # as a script has to, for gradients that are added
        with mx.autograd.record():
            scores = block(mx.nd.array(batch.inputs))
            made = (loss(scores, mx.nd.array(batch.targets[0])) * mx.nd.array(batch.weights)).sum()
        made.backward()
        trainer.step(batch.global_samples, ignore_stale_grad=True)
    return {name: parameter.data().asnumpy() for name, parameter in named.items()}


@pytest.mark.parametrize("optimizer", OPTIMIZERS.values(), ids=OPTIMIZERS)
@pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)
def test_steps_equal_the_trainers(model, optimizer):
    """Seven steps on one rank end with the parameters of seven steps of `gluon.Trainer`."""
    replica = run_ranks(1, lambda group: suite.replica_on(gluon_suite.setup("local"), group, model, optimizer))[0]
    start = replica.state()
    made = suite.train(replica)
    expected = plain_steps(model, optimizer, start)

    assert {PARAMETERS + name for name in expected} == {name for name in made if name.startswith(PARAMETERS)}
    for name, array in expected.items():
        np.testing.assert_allclose(made[PARAMETERS + name], array, rtol=0, atol=2e-6, err_msg=name)
