"""Batch normalisation over a group with Gluon is that of plain Gluon on one process, or is refused."""

from __future__ import annotations

import threading
from dataclasses import replace

import gluon_suite
import normalised_suite
import numpy as np
import pytest
import replica_suite as suite
from normalised_suite import DECAYING, few_rows, take_steps
from own_blocks import mx

from hpcmtl.communicators.base import RankLostError
from hpcmtl.communicators.inproc import run_ranks
from hpcmtl.errors import InputError
from hpcmtl.exchange.store import PARAMETERS
from hpcmtl.jobfile.arrays import ArraySpec
from hpcmtl.jobfile.kinds import FrameworkNeeds
from hpcmtl.networks.description import Leaf
from hpcmtl.networks.models import Mlp, UserModel
from hpcmtl.training.gluon import onednn
from hpcmtl.training.gluon.framework import GluonFramework
from hpcmtl.training.learner_settings import LearnerSettings

pytestmark = pytest.mark.slow

RANKS = [1, pytest.param(2, marks=pytest.mark.slow), 3, pytest.param(4, marks=pytest.mark.slow)]
RESIDUAL, STOPPED, TWICE = (
    UserModel(name=f"own_{name}") for name in ("normalised:Residual", "normalised:Stopped", "blocks:normalised_twice")
)
EQUAL_RUNS = 30


@pytest.mark.parametrize("ranks", RANKS)
@pytest.mark.parametrize("check", normalised_suite.CHECKS, ids=lambda check: check.__name__)
def test_over_a_group(check, ranks):
    """The contract holds, also for layers beside each other, along other axes, and without a path of gradients."""
    run_ranks(ranks, check, gluon_suite.normalised_case())


@pytest.mark.parametrize("engine", ["kvstore", pytest.param("mpi", marks=pytest.mark.slow)])
def test_native_arrays(engine):
    """The engine that reduces MXNet's own arrays by its threads never meets a sum of a pass."""
    run_ranks(2, normalised_suite.check_group_statistics, gluon_suite.normalised_case(engine))


def learner_of(model, **settings):
    """A learner with statistics of the group, on one rank."""
    made = LearnerSettings(DECAYING, **{"seed": 3, "sync_batchnorm": True, **settings})
    return GluonFramework().learner(Leaf(model), {"input": suite.IMAGE}, suite.CLASSES, made)


def steps_of(learner):
    """Parameters after a step on each batch."""
    for batch in few_rows():
        learner.forward_backward(batch, [1.0], 1 / batch.global_samples)
        learner.apply(0.05)
    return learner.parameters_matching("*")


@pytest.mark.parametrize("model", [RESIDUAL, TWICE], ids=lambda model: model.name)
def test_one_rank_without_a_group(model):
    """A learner alone is plain Gluon, the order of two updates of one statistic included."""
    learner = learner_of(model)
    start = {PARAMETERS + name: array for name, array in learner.parameters_matching("*").items()}
    found = {PARAMETERS + name: array for name, array in steps_of(learner).items()}

    assert suite.largest_difference(found, gluon_suite.plain_steps(model, start, few_rows())) <= 1e-5


@pytest.mark.slow
@pytest.mark.parametrize("model", [RESIDUAL, STOPPED], ids=lambda model: model.name)
def test_equal_runs_are_equal(model):
    """The Python operator does not race with oneDNN: equal runs have equal bits, also behind convolutions."""
    ends = {b"".join(array.tobytes() for array in steps_of(learner_of(model)).values()) for _ in range(EQUAL_RUNS)}

    assert len(ends) == 1


def test_one_dnn_stays_on(monkeypatch):
    """The operator of hpcmtl is none of the user's, also once it has run: oneDNN is kept beside convolutions."""
    monkeypatch.setenv("MXNET_MKLDNN_ENABLED", "1")
    steps_of(learner_of(RESIDUAL))
    needs = FrameworkNeeds(network=Leaf(RESIDUAL), samples={"input": suite.IMAGE}, sync_batchnorm=True)

    assert onednn._faults({"a": needs}) == {}
    before = onednn._operators_of_users()
    steps_of(learner_of(RESIDUAL))
    assert onednn._operators_of_users() == before


def test_order_of_all_sums():
    """Ranks take their sums one after the other, in one order, forward and reverse, whatever the engine likes."""

    def on_rank(group):
        sums = []

        def recorded(array):
            lengths = group.allgather(array.size)  # each collective would mix up with another one
            assert len(set(lengths)) == 1
            group.Allreduce(array)
            sums.append((array.size, threading.current_thread().name))

        with suite.opened(gluon_suite.setup("mpi"), group, RESIDUAL, DECAYING, sync_batchnorm=True) as replica:
            replica.learner.use_group_sum(recorded)
            take_steps(replica, group)
        return [size for size, _ in sums], sums

    found = run_ranks(2, on_rank)
    forward = [5, 4, 7, 6, 7, 6, 7, 6]  # number of values and sums, and squares, for each layer
    one_pass = [1, *forward, *reversed(forward)]

    assert found[0][0] == found[1][0] == one_pass * len(few_rows())


def test_operation_by_operation():
    """A network that MXNet compiles wrongly trains uncompiled, over the group as well."""
    model = UserModel(name="own_normalised:sloped")

    def on_rank(group):
        with suite.opened(gluon_suite.setup("mpi"), group, model, DECAYING, sync_batchnorm=True) as replica:
            start = replica.state()
            mine = suite.dealt(few_rows()[0], group.rank, group.size)
            found = replica.compare_first_step("t", mine, 0.05, group)
            return start, found, take_steps(replica, group)

    start, found, state = run_ranks(3, on_rank)[0]
    expected = gluon_suite.plain_steps(model, start, few_rows())

    assert "the gradient of 2.alpha is" in found.compiled
    assert found.update == ""
    assert suite.largest_difference({name: state[name] for name in expected}, expected) <= 1e-5


@pytest.mark.parametrize("patterns", [("stem.1.*",), ("*.running_var",), ("*.gamma", "*.beta")])
def test_frozen(patterns):
    """Frozen parameters stay, bit for bit; a layer with a frozen statistic is used as in inference, by all ranks."""

    def on_rank(group):
        setup = gluon_suite.setup("mpi")
        with suite.opened(setup, group, RESIDUAL, DECAYING, freeze=patterns, sync_batchnorm=True) as replica:
            start = replica.state()
            frozen = set(replica.learner._frozen)
            return start, take_steps(replica, group), frozen

    (start, state, frozen), (_, other, _) = run_ranks(2, on_rank)
    one = run_ranks(1, on_rank)[0][1]

    assert frozen
    assert all(np.array_equal(state[PARAMETERS + name], start[PARAMETERS + name]) for name in frozen)
    assert all(np.array_equal(state[name], other[name]) for name in state)
    assert suite.largest_difference(state, one) <= 1e-5
    assert suite.largest_difference(state, start) > 0.01


@pytest.mark.parametrize("lost_at", [1, 4, 9, 16])
def test_a_lost_rank_comes_out_of_the_pass(lost_at):
    """An error of a sum in a thread of MXNet's comes out of the pass as it is; the learner can be used further."""
    learner, calls = learner_of(RESIDUAL), []
    before = learner.parameters_matching("*")

    def lost(_array):
        calls.append(threading.get_ident())
        if len(calls) > lost_at:
            raise RankLostError("rank 1 of 2 has died")

    learner.use_group_sum(lost)
    batch = few_rows()[0]
    with pytest.raises(RankLostError, match="rank 1 of 2 has died"):
        learner.forward_backward(batch, [1.0], 1 / batch.global_samples)
    mx.nd.waitall()
    after = learner.parameters_matching("*")
    learner.use_group_sum(lambda _array: None)
    losses = learner.collect_losses()
    steps_of(learner)

    assert len(calls) == lost_at + 1  # nobody would answer another one
    assert len(set(calls)) > 1  # the first is of the learner's thread
    assert losses.shape == (0, 1)
    assert all(np.array_equal(after[name], before[name]) for name in before)
    assert all(np.isfinite(array).all() for array in learner.parameters_matching("*").values())


def test_a_lost_rank_before_the_pass():
    """The sum by which ranks begin together raises by itself."""
    learner = learner_of(RESIDUAL)

    def lost(_array):
        raise RankLostError("rank 1 of 2 has died")

    learner.use_group_sum(lost)
    with pytest.raises(RankLostError):
        learner.forward_backward(few_rows()[0], [1.0], 1.0)


def test_a_failure_of_python_code_waits_for_the_pass(monkeypatch):
    """If the loss raises, sums of the network that are under way are waited for before the rank goes on."""
    learner, calls, done = learner_of(RESIDUAL), [], threading.Event()

    def slow(_array):
        calls.append(None)
        done.wait(0.02)

    def fails(*_given):
        raise ValueError("no such label")

    learner.use_group_sum(slow)
    monkeypatch.setattr(learner._loss, "_losses", fails)
    with pytest.raises(ValueError, match="no such label"):
        learner.forward_backward(few_rows()[0], [1.0], 1.0)
    count = len(calls)
    mx.nd.waitall()

    assert count == len(calls) == 1 + 8


def test_names_and_inference_are_those_of_the_network():
    """Parameters have the names of the network, and inference has no operator of hpcmtl's."""
    learner, plain = learner_of(RESIDUAL), learner_of(RESIDUAL, sync_batchnorm=False)
    steps_of(learner)
    plain.set_parameters(learner.parameters_matching("*"))
    inputs = suite.batches()[0].inputs["input"]
    traced = learner.block(mx.sym.var("data")).tojson()
    learner.use_group_sum(lambda _array: pytest.fail("inference asks the group"))

    assert list(learner.parameter_arrays()) == list(plain.parameter_arrays())
    assert "Custom" not in traced
    assert np.array_equal(learner.outputs({"input": inputs})["main"], plain.outputs({"input": inputs})["main"])
    assert np.array_equal(
        learner.outputs({"input": inputs}, "stem")["values"], plain.outputs({"input": inputs}, "stem")["values"]
    )


def needs(name, **others):
    """Returns what a task with a network asks of its framework."""
    model = name if isinstance(name, Mlp) else UserModel(name=name)
    asked = {
        "objectives": suite.CLASSES,
        "optimizer": DECAYING,
        "targets": (ArraySpec(samples=10, shape=()),),
        "samples": {"input": suite.IMAGE},
        "sync_batchnorm": True,
    }
    return FrameworkNeeds(network=Leaf(model), **{**asked, **others})


@pytest.mark.parametrize(
    "name", ["own_normalised:Residual", "own_normalised:Channels", "own_blocks:applied_twice", "own_blocks:normalised"]
)
def test_sound_networks_pass(name):
    """The check takes them, and makes a step."""
    assert GluonFramework().check(needs(name)).outputs == ((3,),)


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (needs(Mlp(outputs=3)), "the network has no batch normalisation; leave the key out"),
        (needs("own_normalised:own_class"), "0 is a OwnNorm, whose statistics hpcmtl cannot take over the group"),
        (needs("own_normalised:with_relu"), "0 is a BatchNormReLU, whose statistics"),
        (needs("own_normalised:InCode"), "is an operator BatchNorm in the code of a block"),
        (needs("own_normalised:Looped"), "a batch normalisation is in a loop or condition"),
    ],
    ids=lambda each: each if isinstance(each, str) else "",
)
def test_what_cannot_be_used_is_refused(asked, said):
    """The problem has the key of the task, and says what the network has."""
    with pytest.raises(InputError) as refused:
        GluonFramework().check(asked)

    assert any(each.where == "sync_batchnorm" and said in each.message for each in refused.value.problems), refused
    if "loop" not in said:  # in which MXNet has no gradient of a batch normalisation
        GluonFramework().check(replace(asked, sync_batchnorm=False))
