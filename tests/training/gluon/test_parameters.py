"""Parameters of every kind take the steps of `gluon.Trainer`: tied, sparse, fixed, with rates of their own."""

from __future__ import annotations

import gluon_suite
import numpy as np
import pytest
import replica_suite as suite
from learner_suite import objective_gradients
from own_blocks import mx

import hpcmtl
from hpcmtl.communicators.inproc import run_ranks
from hpcmtl.errors import InputError
from hpcmtl.exchange.store import PARAMETERS
from hpcmtl.jobfile.resolve import resolve
from hpcmtl.jobfile.tasks import Optimizer
from hpcmtl.networks.description import Leaf
from hpcmtl.networks.models import UserModel
from hpcmtl.networks.objective import Objective
from hpcmtl.networks.parameter_mapping import ParameterMapping
from hpcmtl.training.gluon.learner import GluonLearner
from hpcmtl.training.learner import OPTIMIZER
from hpcmtl.training.learner_settings import LearnerSettings
from hpcmtl.training.step_comparison import StepComparison
from hpcmtl.training.step_input import StepInput

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


def replica_of(model, optimizer=OPTIMIZERS["momentum"], **settings):
    """A replica on one rank."""
    setup = gluon_suite.setup("local")
    return run_ranks(1, lambda group: suite.replica_on(setup, group, model, optimizer, **settings))[0]


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
            scores = block(mx.nd.array(batch.inputs["input"]))
            made = (loss(scores, mx.nd.array(batch.targets[0])) * mx.nd.array(batch.weights)).sum()
        made.backward()
        trainer.step(batch.global_samples, ignore_stale_grad=True)
    return {name: parameter.data().asnumpy() for name, parameter in named.items()}


@pytest.mark.parametrize("optimizer", OPTIMIZERS.values(), ids=OPTIMIZERS)
@pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)
def test_steps_equal_the_trainers(model, optimizer):
    """Seven steps on one rank end with the parameters of seven steps of `gluon.Trainer`."""
    replica = replica_of(model, optimizer)
    start = replica.state()
    made = suite.train(replica)
    expected = plain_steps(model, optimizer, start)

    assert {PARAMETERS + name for name in expected} == {name for name in made if name.startswith(PARAMETERS)}
    for name, array in expected.items():
        np.testing.assert_allclose(made[PARAMETERS + name], array, rtol=0, atol=2e-6, err_msg=name)


@pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)
def test_the_first_step_is_that_of_plain_gluon(model):
    """The comparison before the first step has nothing to say of such networks, and leaves their state as it is."""
    learner = replica_of(model).learner
    before = learner.state()
    found = learner.compare_step(suite.batches()[0], 0.05)
    after = learner.state()

    assert found == StepComparison()
    assert all(np.array_equal(after[name], before[name]) for name in before)


@pytest.mark.parametrize("model", [TIED["params"], TIED["transposed"], SPARSE["embedding"]], ids=lambda each: each.name)
def test_a_state_goes_on(model):
    """A new learner with the state of an old one takes the same steps; moments of tied weights are there once."""
    old, new = replica_of(model), replica_of(model, seed=99)
    state = suite.train(old)
    new.load_state(state)
    expected, made = suite.train(old), suite.train(new)
    moments = [name for name in state if name.startswith(OPTIMIZER) and name.endswith("/0")]

    assert all(np.array_equal(made[name], expected[name]) for name in expected)
    assert len(moments) == len(old.learner.native("gradients"))


@pytest.mark.parametrize(("by", "shared"), [("params", 1), ("block", 1), ("nothing", 2)])
def test_a_tied_parameter_is_reduced_once(by, shared):
    """Ranks exchange and update each array once, so that a step costs no more; layers of their own count twice."""
    learner = replica_of(UserModel(name="own_blocks:tied", by=by)).learner
    sizes = [sum(array.size for array in learner.native(what)) for what in ("gradients", "parameters")]

    assert sizes == [(36 * 6 + 6) + shared * (6 * 6 + 6) + (6 * 3 + 3)] * 2


def test_the_state_of_other_parameters_is_refused():
    """A checkpoint that counts a tied parameter twice, as earlier versions did, is not mixed up."""
    replica = replica_of(TIED["params"])
    state = replica.state()
    counts = OPTIMIZER + "update_counts"
    state[counts] = np.append(state[counts], 0)

    with pytest.raises(InputError, match="is of 7 parameters, this network trains 6: begin a new run"):
        replica.load_state(state)


def test_one_name_freezes_a_tied_parameter():
    """A pattern that matches one of two names freezes the parameter, and both names can renew it."""
    replica = replica_of(TIED["params"], freeze=("3.*",))
    start = replica.state()
    state = suite.train(replica)
    other = {name: array + 1 for name, array in state.items() if name.startswith(PARAMETERS)}
    count = replica.learner.refresh_frozen(other, ParameterMapping("other", pattern="2.*"))
    after = replica.state()

    for layer in ("2", "3"):
        name = f"{PARAMETERS}{layer}.weight"
        assert np.array_equal(state[name], start[name])
        assert np.array_equal(after[name], other[name])
    assert count == 2
    assert not np.array_equal(state[PARAMETERS + "1.weight"], start[PARAMETERS + "1.weight"])


def test_two_values_for_one_parameter_are_refused():
    """Names of one parameter take equal values, or one of them alone; nothing is changed otherwise."""
    learner = replica_of(TIED["params"]).learner
    theirs = replica_of(UserModel(name="own_blocks:tied", by="no"), seed=9).learner.parameter_arrays()
    start = learner.parameter_arrays()
    with pytest.raises(InputError, match=r"of free: 2.\w+ and 3.\w+ are one parameter .* different values there"):
        learner.load_mapped(theirs, ParameterMapping("free"))
    with pytest.raises(InputError, match="different values"):
        learner.set_parameters({"2.weight": np.zeros((6, 6)), "3.weight": np.ones((6, 6))})
    unchanged = learner.parameter_arrays()
    count = learner.load_mapped(theirs, ParameterMapping("free", pattern="3.*"))
    after = learner.parameter_arrays()

    assert all(np.array_equal(unchanged[name], start[name]) for name in start)
    assert count == 2
    assert all(np.array_equal(after[f"{PARAMETERS}{n}.weight"], theirs[PARAMETERS + "3.weight"]) for n in (2, 3))


def test_a_weight_of_two_heads():
    """It is shared by both objectives, with the gradient of each, and is asked for under both names."""
    objectives = [Objective(name, "", loss, 1.0, ()) for name, loss in (("digit", "softmax_ce"), ("size", "l2"))]
    settings = LearnerSettings(suite.PLAIN_SGD, seed=3)
    learner = GluonLearner(Leaf(UserModel(name="own_blocks:TiedHeads")), {"input": suite.IMAGE}, objectives, settings)
    batch = suite.batches()[0]
    sizes = np.random.default_rng(8).normal(size=(len(batch.inputs["input"]), 3)).astype(np.float32)
    batch = StepInput(batch.inputs, (batch.targets[0], sizes), batch.weights, batch.global_samples)
    first, second = objective_gradients(learner, batch, 0.3)
    learner.forward_backward(batch, [0.25, 3.0], 0.3)
    joint = {name: array.copy() for name, array in learner.gradients().items()}
    learner.apply(0.1)
    applied = learner.applied_gradients("*.weight")

    assert set(first) == set(second) == {"digit.bias", "digit.weight", "trunk.bias", "trunk.weight"}
    assert all(np.abs(each["digit.weight"]).max() > 0 for each in (first, second))
    for name in first:
        np.testing.assert_allclose(0.25 * first[name] + 3 * second[name], joint[name], rtol=1e-5, atol=1e-6)
    assert set(applied) == {"digit.weight", "size.weight", "trunk.weight"}
    assert np.array_equal(applied["digit.weight"], applied["size.weight"])


def test_an_artifact_has_all_names(bench, task):
    """A tied network trained in two layers is loaded with both names, from which another network can begin."""
    own = {"name": "own_blocks:tied"}
    tasks = {
        "tied": task(model=own, epochs=1),
        "free": task(model={**own, "by": "no"}, needs={"tied": "parameters"}, epochs=1, freeze=["2.*", "3.*"]),
        "code": {"kind": "extract", "needs": {"tied": "parameters"}, "output": "3"},
    }
    made = bench(tasks)
    made.run_by_layers("tied", [2, 1])
    made.layers = 1
    for name in ("free", "code"):
        made.run(name)
    loaded, free = hpcmtl.load(made.artifact("tied")), hpcmtl.load(made.artifact("free"))
    images = np.random.default_rng(1).normal(size=(4, *suite.IMAGE)).astype(np.float32)
    plain = resolve("own_blocks:tied")()
    plain.initialize()
    plain(mx.nd.array(images))
    for name, parameter in plain._collect_params_with_prefix().items():
        parameter.set_data(mx.nd.array(loaded.arrays[name]))

    for kind in ("weight", "bias"):
        assert np.array_equal(loaded.arrays[f"2.{kind}"], loaded.arrays[f"3.{kind}"])
        assert all(np.array_equal(free.arrays[f"{layer}.{kind}"], loaded.arrays[f"2.{kind}"]) for layer in (2, 3))
    np.testing.assert_allclose(loaded.network.outputs(images)["main"], plain(mx.nd.array(images)).asnumpy(), atol=1e-6)
    assert hpcmtl.load(made.artifact("code")).arrays["values"].shape[1:] == (6,)
