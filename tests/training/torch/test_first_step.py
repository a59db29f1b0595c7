"""The examination of a first step finds what differs from plain PyTorch, and leaves nothing behind."""

import copy
import sys
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import numpy as np
import own_memories
import pytest
import replica_suite
from own_memories import PLACES

from hpcmtl.errors import InputError
from hpcmtl.jobfile.arrays import ArraySpec
from hpcmtl.jobfile.kinds import FrameworkNeeds
from hpcmtl.jobfile.tasks import Optimizer
from hpcmtl.networks.description import Leaf
from hpcmtl.networks.input_values import INPUT
from hpcmtl.networks.models import UserModel
from hpcmtl.networks.objective import Objective
from hpcmtl.training.frameworks import open_framework
from hpcmtl.training.learner_settings import LearnerSettings

torch = pytest.importorskip("torch")
SGD = Optimizer(name="sgd", learning_rate=0.1)
ADAM = Optimizer(name="adam", learning_rate=0.05)


@pytest.fixture(autouse=True)
def _users_code(monkeypatch):
    monkeypatch.syspath_prepend(str(Path(__file__).parents[2] / "contracts"))
    monkeypatch.delitem(sys.modules, "own_modules", raising=False)
    monkeypatch.setattr("own_memories.COUNT", 0)
    monkeypatch.setattr("own_memories.OfClass.count", 0)


def made(model, optimizer=SGD, loss="softmax_ce", **arguments):
    """A learner of a network of `own_modules`, for images of 6 x 6."""
    objectives, network = (Objective("main", "", loss, 1.0, ()),), UserModel(name=f"own_modules:{model}", **arguments)
    return open_framework("torch").learner(Leaf(network), {"input": (1, 6, 6)}, objectives, LearnerSettings(optimizer))


def compared(learner, ranks=2):
    """Compares the first step as a rank of a group does."""
    return learner.compare_step(replace(replica_suite.batches()[0], ranks=ranks), 0.1)


def plain_steps(learner, optimizer):
    """Final parameters of a plain script that trains a copy of a network on the batches of the contract."""
    module = copy.deepcopy(learner.module)
    plain = getattr(torch.optim, optimizer)(module.parameters(), lr=0.05)
    for batch in replica_suite.batches():
        plain.zero_grad()
        losses = torch.nn.functional.cross_entropy(
            module(torch.tensor(batch.inputs["input"])), torch.tensor(batch.targets[0]), reduction="none"
        )
        (losses @ torch.tensor(batch.weights) / batch.global_samples).backward()
        plain.step()
    return {name: each.numpy() for name, each in module.state_dict().items()}


def steps(learner, rate=0.05):
    """Takes a step on each batch of the contract, as one rank does."""
    for number, batch in enumerate(replica_suite.batches()):
        if learner.traits.may_draw:
            learner.reseed(number)
        learner.forward_backward(batch, [1.0], 1 / batch.global_samples)
        learner.apply(rate)
    return learner.parameters_matching("*")


@pytest.mark.parametrize(
    ("model", "loss", "named"),
    [
        ("Remembering", "softmax_ce", "Remembering._calls"),
        ("hooked_container", "softmax_ce", "Sequential.calls"),
        ("Masked", "own_modules:CountingLoss", "CountingLoss.passes"),
    ],
)
def test_what_no_checkpoint_has_is_named_and_restored(model, loss, named):
    """Private attributes, those on containers of PyTorch's and all buffers of losses are as before a comparison."""
    learner = made(model, loss=loss)
    found = compared(learner)
    owner = learner._loss.own_losses[0] if "Loss" in named else learner.module

    assert (found.update, found.coupled, found.sums) == ("", False, True)
    assert named in found.attributes
    assert float(getattr(owner, named.partition(".")[2])) == 0


@pytest.mark.filterwarnings("ignore:.*weight_norm.* is deprecated")
def test_weights_that_hooks_of_torch_compute_are_not_named():
    """Weights of older spectral and weight norms and of pruning follow from parameters and buffers in each pass."""
    found = compared(made("recomputed"))

    assert (found.update, found.attributes) == ("", "")


@pytest.mark.parametrize("changes", [False, True])
def test_large_attributes(changes, monkeypatch):
    """A large array that no pass changes costs no copy, one that a pass changes is refused by name."""
    monkeypatch.setattr("hpcmtl.training.in_place.COPIED", 1000)
    with pytest.raises(InputError, match="changes Table.table, which no checkpoint") if changes else nullcontext():
        assert compared(made("Table", numbers=1000, changes=changes)).attributes == ""


@pytest.mark.parametrize("place", PLACES)
def test_what_functions_of_an_optimizer_remember_is_named(place):
    """No checkpoint has it; after the comparison it is as a plain script begins with."""
    learner = made("Masked", Optimizer(name="own_modules:RememberingSGD", learning_rate=0.1, options={"place": place}))
    found = compared(learner)

    assert found.update == ""
    assert f"an update changes {PLACES[place]}: no checkpoint has this" in found.attributes
    assert getattr(own_memories, place)()() == 1


@pytest.mark.parametrize("place", [place for place in PLACES if place != "in_iterator"])
def test_what_hooks_of_a_network_remember_is_named(place):
    """All passes of the comparison see the same count, and the first step the first one."""
    learner = made("remembering", place=place)
    found = compared(learner)

    assert (found.update, found.sums) == ("", True)
    assert f"a pass changes {PLACES[place]}: this is in no checkpoint" in found.attributes
    if place in {"in_class", "in_global"}:
        assert getattr(own_memories, place)()() == 1


@pytest.mark.parametrize(
    ("loss", "named"), [("counted_loss", "own_memories.COUNT"), ("CountedLoss", "CountedLoss.calls")]
)
def test_what_a_loss_remembers_is_named(loss, named):
    """A loss that is a function or an object that is called is looked into as a module is."""
    assert named in compared(made("Masked", loss=f"own_modules:{loss}")).attributes


def test_an_update_without_effect_is_told():
    """An optimizer that does nothing without a closure would leave a task that trains nothing."""
    found = compared(made("Masked", Optimizer(name="own_modules:Idle", learning_rate=0.1)))

    assert found.update == ""
    assert found.attributes.startswith("its first update changes no parameter, though there are gradients")
    assert compared(made("Masked", ADAM)).attributes == ""


def test_trials_leave_the_counters_of_modules():
    """The check of a task leaves what its functions remember as ranks have it that check nothing."""
    needs = FrameworkNeeds(
        network=Leaf(UserModel(name="own_modules:Masked")),
        samples={INPUT: (1, 6, 6)},
        objectives=(Objective("main", "", "own_modules:counted_loss", 1.0, ()),),
        targets=(ArraySpec(samples=None, shape=(), kind="i"),),
        optimizer=Optimizer(name="own_modules:GloballySlowing", learning_rate=0.1),
    )
    open_framework("torch").check(needs)

    assert (own_memories.COUNT, own_memories.OfClass.count) == (0, 0)


def test_a_row_counter_is_of_each_rank():
    """A buffer that depends on the number of rows counts as a statistic of the rows; one of integers is refused."""
    floating, whole = made("CountingRows"), made("CountingRows", dtype="int64")

    assert floating.traits.batch_statistics
    assert compared(floating).update == ""
    assert compared(whole, ranks=1).update == ""
    assert "a pass changes rows by its rows, and each rank has only its own" in compared(whole).update


def test_gradients_that_are_no_sums_are_noticed():
    """A hook that clips makes the sum over ranks another gradient; one that scales does not."""
    assert not compared(made("ClippedGradients")).sums
    assert not compared(made("ClippingPass")).sums
    assert compared(made("ClippedGradients"), ranks=1).sums
    assert compared(made("Masked")).sums


def test_a_bound_on_weights_is_the_same_on_all_ranks():
    """Parameters that a pass changes whatever its rows are do not part ranks."""
    assert compared(made("BoundedWeights")).update == ""
    assert "each rank would change it by its own rows" in compared(made("Bounded")).update


def test_a_view_of_a_parameter_as_an_attribute():
    """It cannot be copied, and need not be."""
    assert compared(made("Viewing")).update == ""


@pytest.mark.parametrize(("optimizer", "plain"), [(SGD, "SGD"), (ADAM, "Adam")])
def test_parameters_in_another_order_of_memory(optimizer, plain):
    """Transposed parameters and channels that are last train as in a plain script."""
    learner = made("Transposed", optimizer)
    expected = plain_steps(learner, plain)

    assert compared(learner).update == ""
    for name, array in steps(learner).items():
        np.testing.assert_allclose(array, expected[name], atol=1e-5)


@pytest.mark.parametrize(
    ("model", "said"),
    [
        ("ShortBuffer", "the buffer rows is bfloat16, which artifacts cannot keep; make it float32"),
        ("Halves", "weight are views of one memory, in other orders; give each its own memory"),
    ],
)
def test_tensors_that_cannot_be_kept_are_refused(model, said):
    """The buffer or the parameters are named, with what to do."""
    with pytest.raises(InputError, match=said):
        made(model)


def test_dropout_that_begins_later_repeats():
    """A user's network draws the same numbers in equal steps, whatever else has drawn before."""
    ends = []
    for drawn in (0, 5):
        learner = made("LateDropout")
        torch.rand(drawn)
        ends.append(steps(learner))

    for name, array in ends[0].items():
        np.testing.assert_array_equal(array, ends[1][name])


@pytest.mark.parametrize("name", ["PrivatelySlowing", "Grouped"])
def test_counters_of_an_optimizer_are_kept(name):
    """Two steps, a checkpoint and two steps equal four steps, wherever the optimizer counts."""
    optimizer = Optimizer(name=f"own_modules:{name}", learning_rate=0.1)
    whole, first, second = (made("Masked", optimizer) for _ in range(3))
    batch = replica_suite.batches()[0]
    for number, learner in enumerate((whole, whole, whole, whole, first, first, second, second)):
        if number == 6:
            second.load_state(first.state())
        learner.forward_backward(batch, [1.0], 1 / batch.global_samples)
        learner.apply(0.1)

    for key, array in whole.parameters_matching("*").items():
        np.testing.assert_array_equal(array, second.parameters_matching("*")[key])


def test_what_modules_share_stays_shared():
    """A list and a dict that two modules hold are one after all trials, with their former content."""
    learner = made("Sharing")
    compared(learner)
    outer, inner = learner.module, learner.module.inner

    assert outer._terms is inner.terms
    assert outer.skips is inner._skips
    assert (outer._terms, outer.skips) == ([], {})
    learner.forward_backward(replica_suite.batches()[0], [1.0], 1.0)
    assert len(outer._terms) == 1

    """A private attribute that stays as it was made need not be kept; one that an update changes is refused by name."""
    """What cannot be kept and stays as it was made need not be; what an update changes is refused by name."""
    batch, learner = (
        replica_suite.batches()[0],
        made("Masked", Optimizer(name="own_modules:Listing", learning_rate=0.1)),
    )
    learner.forward_backward(batch, [1.0], 1 / batch.global_samples)
    learner.apply(0.1)
    learner.state()
    learner = made("Masked", Optimizer(name="own_modules:Wrapping", learning_rate=0.1))
    learner.forward_backward(batch, [1.0], 1 / batch.global_samples)
    learner.apply(0.1)

    with pytest.raises(InputError, match="keeps _seen, a set, which a checkpoint cannot hold"):
        learner.state()


def test_an_optimizer_that_counts_in_parameters_is_refused():
    """Attributes of a parameter are in no checkpoint."""
    batch, learner = (
        replica_suite.batches()[0],
        made("Masked", Optimizer(name="own_modules:Marking", learning_rate=0.1)),
    )
    learner.forward_backward(batch, [1.0], 1 / batch.global_samples)
    learner.apply(0.1)

    with pytest.raises(InputError, match="makes attributes of a parameter .count., which a checkpoint would lose"):
        learner.state()
