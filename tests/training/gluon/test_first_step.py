"""A difference of plain Gluon from the compiled network, or from our update, is found before the first step."""

from __future__ import annotations

import dataclasses
from contextlib import nullcontext
from types import SimpleNamespace

import learner_suite as suite
import numpy as np
import own_memories
import pytest
from own_blocks import mx, nn
from own_memories import PLACES

from hpcmtl.communicators.inproc import RankFailedError, run_ranks
from hpcmtl.errors import InputError
from hpcmtl.jobfile.tasks import Optimizer
from hpcmtl.networks.models import ConvNet, Mlp, UserModel
from hpcmtl.results.events import TaskNoted
from hpcmtl.training.first_step import compare_first_step
from hpcmtl.training.gluon.first_step import compilation_difference
from hpcmtl.training.gluon.framework import GluonFramework
from hpcmtl.training.gluon.losses import TrainingLoss
from hpcmtl.training.gluon.optimizer import Updater
from hpcmtl.training.sessions.notes import Notes
from hpcmtl.training.step_comparison import StepComparison
from hpcmtl.training.step_input import StepInput

GLUON = GluonFramework()
SLOPED = UserModel(name="own_faults:sloped")
BATCH = suite.batches()[0]
RNG = np.random.default_rng(0)


def reshaped(*shape):
    """Returns a block that gives each sample a shape."""
    return nn.HybridLambda(lambda F, x: F.reshape(x, shape=(0, *shape)))  # noqa: N803 - Gluon's form


def chain(*blocks):
    """Returns the blocks one after the other."""
    made = nn.HybridSequential()
    made.add(*blocks)
    return made


def unrolled(cell):
    """Returns a block that unrolls a recurrent cell over the rows of an image."""

    class Unrolled(nn.HybridSequential):
        def hybrid_forward(self, F, x):  # noqa: N803 - Gluon's form
            return self[0].unroll(6, F.reshape(x, (0, 6, 6)), layout="NTC", merge_outputs=True)[0]

    made = Unrolled()
    made.register_child(cell)
    return made


rnn, contrib = mx.gluon.rnn, mx.gluon.contrib
LAYERS = {
    "activations": lambda: [nn.Dense(6, activation=each) for each in ("relu", "sigmoid", "tanh", "softrelu")],
    "own activations": lambda: [nn.LeakyReLU(0.1), nn.ELU(), nn.SELU(), nn.GELU(), nn.Swish()],
    "norms": lambda: [nn.Conv2D(4, 3), nn.BatchNorm(), nn.GroupNorm(2), nn.InstanceNorm(), nn.LayerNorm()],
    "convolutions": lambda: [nn.Conv2D(4, 3, padding=1), nn.Conv2D(4, 3, groups=2), nn.Conv2D(2, 2, dilation=2)],
    "transposed": lambda: [nn.Conv2DTranspose(4, 3, strides=2, output_padding=1), nn.Conv2DTranspose(2, 3)],
    "one axis": lambda: [reshaped(2, 18), nn.Conv1D(3, 3), nn.MaxPool1D(), nn.Conv1DTranspose(2, 2), nn.AvgPool1D()],
    "pools": lambda: [nn.MaxPool2D(), nn.AvgPool2D(2, 1, 1, count_include_pad=False), nn.GlobalMaxPool2D()],
    "three axes": lambda: [reshaped(1, 4, 3, 3), nn.Conv3D(2, 2), nn.MaxPool3D(2, 1), nn.Conv3DTranspose(2, 2)],
    "dropout": lambda: [nn.Dropout(0.4), nn.Dense(8), nn.Dropout(0.4, axes=(1,))],
    "lstm": lambda: [reshaped(6, 6), rnn.LSTM(4, 2, dropout=0.3, layout="NTC")],
    "gru": lambda: [reshaped(6, 6), rnn.GRU(4, bidirectional=True, layout="NTC"), rnn.RNN(3, layout="NTC")],
    "cells": lambda: [unrolled(rnn.ResidualCell(rnn.GRUCell(6))), unrolled(rnn.ZoneoutCell(rnn.LSTMCell(4), 0.2, 0.2))],
    "projected": lambda: [unrolled(contrib.rnn.LSTMPCell(5, 3))],
    "masks in another order": lambda: [unrolled(contrib.rnn.VariationalDropoutCell(rnn.LSTMCell(4), 0.2, 0.2, 0.2))],
    "deformable": lambda: [contrib.cnn.DeformableConvolution(3, (3, 3), padding=(1, 1))],
}


def difference_of(*blocks):
    """Returns what is said of a network of these blocks and a dense one."""
    block = chain(*blocks, nn.Dense(3))
    block.initialize(mx.init.Xavier())
    block(mx.nd.zeros((1, *suite.IMAGE)))
    block.hybridize(static_alloc=True)
    trained = {n: p for n, p in block._collect_params_with_prefix().items() if p.grad_req != "null"}
    batch = StepInput(
        {"input": RNG.normal(size=(6, *suite.IMAGE)).astype(np.float32)},
        (RNG.normal(size=(6, 3)).astype(np.float32),),
        np.ones(6, np.float32),
        6,
    )
    return compilation_difference(TrainingLoss(block, suite.NUMBERS), trained, batch, may_draw=True)


@pytest.mark.parametrize("name", LAYERS)
def test_layers_of_gluon(name):
    """Compiled, these layers are what they are otherwise; masks that are drawn in another order are no difference."""
    assert difference_of(*LAYERS[name]()) == ""


def test_slopes_of_prelu():
    """MXNet's gradient of the slopes is a quarter of a numeric derivative once hybridised, and right afterwards."""
    learner = suite.learner_of(GLUON, SLOPED)
    values = suite.parameters(learner)

    def loss(slope: float) -> float:
        hidden = BATCH.inputs["input"].reshape(len(BATCH.weights), -1) @ values["1.weight"].T + values["1.bias"]
        scores = np.where(hidden > 0, hidden, slope * hidden) @ values["3.weight"].T + values["3.bias"]
        chosen = scores[np.arange(len(scores)), BATCH.targets[0]]
        return float(BATCH.weights @ (np.log(np.exp(scores).sum(axis=1)) - chosen))

    numeric = (loss(0.25 + 1e-6) - loss(0.25 - 1e-6)) / 2e-6
    gradients = []
    for _ in range(2):
        learner.forward_backward(BATCH, [1.0], 1.0)
        gradients.append(float(learner.gradients()["2.alpha"][0]))
        found = learner.compare_step(BATCH, 0.1)
        learner.run_uncompiled()

    assert "the gradient of 2.alpha is" in found.compiled
    assert found.update == ""
    assert gradients[0] == pytest.approx(numeric / 4, rel=1e-4)
    assert gradients[1] == pytest.approx(numeric, rel=1e-4)


def test_slopes_that_no_row_of_the_first_batch_reaches():
    """Positive rows show nothing of the wrong gradient, so that the graph decides: such a network is not compiled."""
    learner = suite.learner_of(GLUON, SLOPED)
    learner.set_parameters({"1.bias": np.full(8, 100.0)})
    found = learner.compare_step(BATCH, 0.1)

    assert "the gradient of the slopes of `PReLU` is wrong" in found.compiled


def test_attributes_that_a_pass_changes():
    """Counters in the Python code of a loss are found and set back; what no pass changes is not named."""
    objectives = (dataclasses.replace(suite.CLASSES[0], loss="own_faults:CountingLoss"),)
    learner = suite.learner_of(GLUON, UserModel(name="own_faults:centred"), objectives)
    (loss,) = learner._loss.own_losses
    before = loss.calls, list(loss.seen)
    found, again = (learner.compare_step(BATCH, 0.1) for _ in range(2))

    assert found.attributes.startswith("a pass changes CountingLoss.calls, CountingLoss.seen: ")
    assert again.attributes in {"", found.attributes}
    assert (loss.calls, loss.seen) == before


def test_counts_of_passes_are_taken_back():
    """A private attribute is named, and it and a constant that counts passes are as before the comparison."""
    learner = suite.learner_of(GLUON, UserModel(name="own_faults:PrivatelyCounting"))
    calls = learner.block._calls
    assert learner.block.seen.data().asscalar() == 0
    found = learner.compare_step(BATCH, 0.1)

    assert "PrivatelyCounting._calls" in found.attributes
    assert learner.block._calls == calls
    assert learner.block.seen.data().asscalar() == 0


@pytest.mark.parametrize("added", [0, 1])
def test_large_attributes(added, monkeypatch):
    """A large array that no pass changes costs no copy, one that a pass changes is refused by name."""
    monkeypatch.setattr("hpcmtl.training.gluon.attributes.COPIED", 1000)
    with pytest.raises(InputError, match="changes Table.table, which no checkpoint") if added else nullcontext():
        learner = suite.learner_of(GLUON, UserModel(name="own_faults:Table", numbers=1000, added=added))
        assert learner.compare_step(BATCH, 0.1).attributes == ""


@pytest.mark.parametrize("place", [place for place in PLACES if place != "in_iterator"])
def test_what_functions_of_an_optimizer_remember_is_named(place, monkeypatch):
    """No checkpoint has it; after the comparison it is as a plain script begins with."""
    monkeypatch.setattr("own_memories.COUNT", 0)
    monkeypatch.setattr("own_memories.OfClass.count", 0)
    optimizer = Optimizer(name="own_faults:RememberingSGD", learning_rate=0.1, options={"place": place})
    found = suite.learner_of(GLUON, suite.LINEAR, optimizer=optimizer).compare_step(BATCH, 0.1)

    assert found.update == ""
    assert f"an update changes {PLACES[place]}: no checkpoint has this" in found.attributes
    assert getattr(own_memories, place)()() == 1


@pytest.mark.parametrize("ranks", [1, 2])
@pytest.mark.parametrize("most", [1e-3, 1e3])
def test_gradients_that_a_function_clips(most, ranks):
    """They are no multiples of a factor on the loss, and no sums over rows; below the bound they are both."""
    learner = suite.learner_of(GLUON, UserModel(name="own_faults:Clipping", most=most))
    found = learner.compare_step(dataclasses.replace(BATCH, ranks=ranks), 0.1)

    assert found.multiples == (most > 1)
    assert found.sums == (most > 1 or ranks == 1)
    assert (found.compiled, found.update) == ("", "")


def test_the_note_on_clipped_gradients():
    """A task on one rank says that bounds are of the mean over the batch, and one on two that rows are apart."""
    for ranks, said in ((1, ["no multiples"]), (2, ["no multiples", "no sums"])):
        notes, told = Notes(), []
        context = SimpleNamespace(group=SimpleNamespace(size=ranks, rank=0), task="a", record=told.append)
        notes.comparison(context, StepComparison(multiples=False, sums=False))

        assert sorted(notes.names) == said
        assert "trainer divides gradients after it" in told[0].text


COUPLED = ["centred", "centred_loss"]


@pytest.mark.parametrize("rows", [1, 2, 8])
@pytest.mark.parametrize("coupled", [None, *COUPLED])
def test_rows_that_depend_on_one_another_are_found(coupled, rows):
    """A network or a loss that computes a row's loss from other rows is found, with a single row as well."""
    model = UserModel(name="own_faults:centred") if coupled == "centred" else SLOPED
    loss = "own_faults:CentredLoss" if coupled == "centred_loss" else "softmax_ce"
    objectives = (dataclasses.replace(suite.CLASSES[0], loss=loss),)
    learner = suite.learner_of(GLUON, model, objectives)
    targets = tuple(each[:rows] for each in BATCH.targets)
    few, alone = (
        StepInput({"input": BATCH.inputs["input"][:rows]}, targets, BATCH.weights[:rows], rows, ranks)
        for ranks in (2, 1)
    )

    assert learner.compare_step(few, 0.1).coupled == (coupled is not None)
    assert learner.compare_step(alone, 0.1).coupled is None


def test_the_row_behind_the_others_is_no_padding():
    """The look for coupled rows gives a network no sample of padding alone, which `SequenceLast` cannot take."""
    learner = suite.learner_of(GLUON, UserModel(name="own_blocks:LastOfSequence"))
    found = learner.compare_step(dataclasses.replace(BATCH, ranks=2), 0.1)

    assert found.coupled is False
    assert min(learner.block.lengths) > 0


def test_rows_that_go_in_pairs_are_no_error():
    """A loss that takes its rows in pairs cannot compute one alone, which is what coupled means; training goes on."""
    objectives = (dataclasses.replace(suite.CLASSES[0], loss="own_faults:PairedLoss"),)
    learner = suite.learner_of(GLUON, UserModel(name="own_blocks:normalised"), objectives)
    pairs = dataclasses.replace(BATCH, ranks=2)
    before = suite.parameters(learner)
    found = learner.compare_step(pairs, 0.1)
    learner.forward_backward(pairs, [1.0], 1 / 8)
    learner.apply(0.05)

    assert found.coupled
    assert any((array != before[name]).any() for name, array in suite.parameters(learner).items())


def test_what_is_known_of_one_rank_is_not_known_of_several():
    """The look for coupled rows is made up for when a second rank comes, and its answer is kept."""
    seen = []

    class Learner:
        def compare_step(self, batch, _rate):
            seen.append(batch.ranks)
            return StepComparison(coupled=None if batch.ranks == 1 else True)

    def compare(group, known, ranks):
        given = dataclasses.replace(BATCH, ranks=ranks)
        return compare_first_step(Learner(), known, given, 0.1, task="a", group=group)

    first = run_ranks(1, compare, None, 1)[0]
    second = run_ranks(2, compare, first, 2)[0]
    third = [run_ranks(ranks, compare, second, ranks)[0] for ranks in (2, 1)]

    assert (first.coupled, second.coupled) == (None, True)
    assert third == [second, second]
    assert seen == [1, 2, 2]


def test_a_network_that_asks_whether_it_trains():
    """A network whose Python code asks for the mode answers inference with its training branch once hybridised."""
    learner = suite.learner_of(GLUON, UserModel(name="own_faults:Moody"))
    found = learner.compare_step(BATCH, 0.1)
    learner.run_uncompiled()
    learner.forward_backward(BATCH, [1.0], 1.0)
    trained = learner.outputs(BATCH.inputs)["main"]
    weight, bias = (suite.parameters(learner)[f"out.{name}"] for name in ("weight", "bias"))

    assert "output 0 in inference is" in found.compiled
    np.testing.assert_allclose(trained, BATCH.inputs["input"].reshape(8, -1) @ weight.T + bias, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("name", "said"),
    [("Noisy", "output 0 in inference"), ("Deciding", "next random number"), ("Dropping", "after training")],
)
def test_random_numbers_that_compilation_would_keep(name, said):
    """Noise that training alone has, and decisions of Python code, are seen; the network itself is trained then."""
    learner = suite.learner_of(GLUON, UserModel(name=f"own_faults:{name}"))
    found = learner.compare_step(BATCH, 0.1)
    learner.run_uncompiled()
    values, gradients = suite.parameters(learner), set()
    for seed in range(12):
        learner.reseed(seed)
        learner.forward_backward(BATCH, [1.0], 1.0)
        gradients.add(round(float(learner.gradients()["out.bias"][0]), 5))
    scores = BATCH.inputs["input"].reshape(8, -1) @ values["out.weight"].T + values["out.bias"]

    assert learner.traits.may_draw
    assert said in found.compiled
    assert len(gradients) == {"Noisy": 12, "Deciding": 2, "Dropping": 2}[name]
    if name == "Noisy":
        np.testing.assert_allclose(learner.outputs(BATCH.inputs)["main"], scores, rtol=1e-5, atol=1e-5)


def test_a_branch_that_only_training_has_is_trained():
    """Its parameters have a gradient: the network's graph is that of training."""
    learner = suite.learner_of(GLUON, UserModel(name="own_faults:Auxiliary"))
    before = suite.parameters(learner)
    suite.take_steps(learner)
    after = suite.parameters(learner)

    assert set(learner.views("trained")) == set(before)
    assert all((after[name] != values).any() for name, values in before.items())


@pytest.mark.parametrize("name", ["nadam", "mxnet.optimizer:SGLD"])
def test_nothing_changes(name):
    """The comparison finds nothing here, and state, running statistics and random numbers stay as they are."""
    optimizer, states = Optimizer(name=name, learning_rate=0.1, weight_decay=0.01), []
    for model in (UserModel(name="own_blocks:normalised"), Mlp(widths=(16, 16), outputs=3, dropout=0.5)):
        for compared in (True, False):
            learner = suite.learner_of(GLUON, model, optimizer=optimizer)
            learner.reseed(5)
            if compared:
                before, numbers = learner.state(), np.random.get_state()[1].tolist()  # noqa: NPY002 - users' operators draw from it
                found = learner.compare_step(BATCH, 0.1)

                assert found == StepComparison(draws=learner.traits.may_draw)
                assert suite.same(learner.state(), before)
                assert np.random.get_state()[1].tolist() == numbers  # noqa: NPY002 - as above
            suite.take_steps(learner)
            states.append(learner.state())

    assert suite.same(states[0], states[1])
    assert suite.same(states[2], states[3])


def test_an_update_that_is_not_the_trainers(monkeypatch):
    """A parameter that is updated twice, and one that is left out, are named with both changes."""
    said = []
    for wrong in (
        lambda trained: {**trained, "again": trained["body.0.bias"]},
        lambda trained: dict([*trained.items()][1:]),
    ):
        learner = suite.learner_of(GLUON, ConvNet(channels=(4,), outputs=3))
        monkeypatch.setattr(learner, "_trained", wrong(learner._trained))
        said.append(learner.compare_step(BATCH, 0.5).update)

    assert "an update by sgd is not that of gluon.Trainer: the change of again is" in said[0]
    assert "bias is 0 and not" in said[1]


def test_a_user_optimizer_may_know_the_multipliers():
    """Multipliers of the rate and of the decay reach the update as they reach that of the trainer."""
    learner = suite.learner_of(GLUON, ConvNet(channels=(4,), outputs=3))
    for number, parameter in enumerate(learner.parameters.values()):
        parameter.lr_mult, parameter.wd_mult = 0.5 * number, 2.0 - number

    assert learner.compare_step(BATCH, 0.5) == StepComparison()


def test_all_ranks_decide_alike():
    """A network that differs on one rank of three is compiled on none, also where the others know their own result."""

    def run(group):
        learner = suite.learner_of(GLUON, SLOPED)
        known = None if group.rank == 1 else StepComparison()
        agreed = compare_first_step(learner, known, BATCH, 0.1, task="a", group=group)
        learner.forward_backward(BATCH, [1.0], 1.0)
        return agreed.compiled, float(learner.gradients()["2.alpha"][0])

    found = run_ranks(3, run)

    assert "2.alpha" in found[0][0]
    assert len(set(found)) == 1


def test_a_note_once_for_each_group(bench, task):
    """A task on three ranks notes the parameter, once, and trains as on one rank."""
    made = []
    for ranks in (3, 1):
        told = []
        done = bench({"digit": task(model={"name": "own_faults:sloped", "outputs": 3})}, layers=2)
        done.run("digit", ranks, record=told.append)
        made.append(done.parameters("digit"))

        assert ["2.alpha" in each.text for each in told if isinstance(each, TaskNoted)] == [True]
    assert max(float(np.abs(made[0][name] - made[1][name]).max()) for name in made[0]) < 1e-5


def test_a_wrong_update_fails_the_task(bench, task, monkeypatch):
    """An update that changes a parameter twice fails the task on all ranks, with the parameter and both changes."""
    once = Updater.update

    def twice(updater, *arguments):
        once(updater, *arguments)
        once(updater, *arguments)

    monkeypatch.setattr(Updater, "update", twice)
    with pytest.raises(RankFailedError, match=r"task digit: an update by sgd is not .* of .* is .* and not"):
        bench({"digit": task(optimizer={"name": "sgd", "learning_rate": 0.1})}).run("digit", 2)
