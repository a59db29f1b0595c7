"""Steps that train one objective each: a group trains as a plain loop of PyTorch whose other gradients are None."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
import replica_suite as suite

from hpcmtl.communicators.inproc import run_ranks
from hpcmtl.errors import InputError
from hpcmtl.exchange.store import PARAMETERS
from hpcmtl.jobfile.tasks import Optimizer
from hpcmtl.jobfile.turns import Turns
from hpcmtl.networks.description import Leaf, Shared
from hpcmtl.networks.models import Mlp
from hpcmtl.networks.objective import Objective
from hpcmtl.training.frameworks import open_framework
from hpcmtl.training.learner_settings import LearnerSettings
from hpcmtl.training.multitask.turns import TurnOrder, turn_gradients
from hpcmtl.training.replica import Replica
from hpcmtl.training.step_input import StepInput
from hpcmtl.training.strategies.select import StrategySettings, open_strategy

torch = pytest.importorskip("torch")
DIGIT, SIZE = Objective("digit", "", "softmax_ce", 0.5, ()), Objective("size", "", "l2", 2.0, ())
OBJECTIVES = (DIGIT, SIZE)
HEADS = (("digit", Leaf(Mlp(outputs=3))), ("size", Leaf(Mlp(outputs=1))))
NETWORK = Shared(Leaf(Mlp(widths=(8,), outputs=5, activation="tanh")), HEADS)
MOMENTUM = Optimizer(name="sgd", learning_rate=0.05, weight_decay=0.1, options={"momentum": 0.9})
ADAM = Optimizer(name="adam", learning_rate=0.05, weight_decay=0.1)
ORDERS = {
    "round_robin": (Turns(how="round_robin"), (1.0, 1.0)),
    "shares": (Turns(how="shares", shares=(1.0, 2.0)), (1.0, 2.0)),
    "stages": (Turns(how="stages", shares=(1.0, 1.0)), (1.0, 1.0)),
}


def batches():
    """Batches with a class and a size for each sample; some have fewer rows than a group has ranks."""
    generator = np.random.default_rng(9)
    return [
        StepInput(
            each.inputs,
            (each.targets[0], generator.normal(size=(each.global_samples, 1)).astype(np.float32)),
            each.weights,
            each.global_samples,
        )
        for each in suite.batches()
    ]


def order_of(name):
    """Turns by a rule, where an epoch has three steps and the task three epochs."""
    turns, shares = ORDERS[name]
    return TurnOrder(turns, shares, 3, 3, seed=4)


def replica_on(group, name, library, optimizer):
    """A replica with two objectives that take turns."""
    made = open_framework(library)
    learner = made.learner(NETWORK, {"input": suite.IMAGE}, OBJECTIVES, LearnerSettings(optimizer, seed=3))
    strategy = open_strategy(StrategySettings("mpi"), learner, made, group)
    replica = Replica(learner, strategy, turn_gradients(order_of(name), OBJECTIVES, "turns"))
    replica.synchronise()
    return replica


def trained(group, name, library, optimizer, interrupted):
    """Parameters before and after training on a group; an interrupted one goes on in a new replica."""
    replica = replica_on(group, name, library, optimizer)
    first = replica.state()
    for number, batch in enumerate(batches()):
        if number == 4 and interrupted:
            state = replica.state()
            replica.close()
            replica = replica_on(group, name, library, optimizer)
            replica.load_state(state)
        replica.step(suite.dealt(batch, group.rank, group.size), 0.05, number)
    last = replica.state()
    replica.close()
    return [
        {n.removeprefix(PARAMETERS): array for n, array in each.items() if n.startswith(PARAMETERS)}
        for each in (first, last)
    ]


def plain_loop(first, turns, make):
    """Trains by autograd, with one optimizer; parameters without a gradient in a step have None."""
    values = {name: torch.tensor(array, requires_grad=True) for name, array in first.items()}
    optimizer = make(list(values.values()))
    for batch, turn in zip(batches(), turns, strict=True):
        flat = torch.tensor(batch.inputs["input"]).flatten(1)
        hidden = torch.tanh(flat @ values["trunk.body.1.weight"].T + values["trunk.body.1.bias"])
        code = hidden @ values["trunk.output.weight"].T + values["trunk.output.bias"]
        head = f"heads.{OBJECTIVES[turn].name}.output"
        made, target = code @ values[f"{head}.weight"].T + values[f"{head}.bias"], torch.tensor(batch.targets[turn])
        weights = torch.tensor(batch.weights)
        if turn == 0:
            losses = torch.nn.functional.cross_entropy(made, target.long(), reduction="none")
        else:
            losses = ((made - target) ** 2).mean(dim=1) / 2
        optimizer.zero_grad(set_to_none=True)
        (OBJECTIVES[turn].weight * (losses * weights).sum() / batch.global_samples).backward()
        optimizer.step()
    return {name: each.detach().numpy() for name, each in values.items()}


@pytest.mark.parametrize(
    ("library", "optimizer", "make"),
    [
        ("torch", MOMENTUM, lambda given: torch.optim.SGD(given, lr=0.05, momentum=0.9, weight_decay=0.1)),
        ("torch", ADAM, lambda given: torch.optim.Adam(given, lr=0.05, weight_decay=0.1)),
        ("gluon", MOMENTUM, lambda given: torch.optim.SGD(given, lr=0.05, momentum=0.9, weight_decay=0.1)),
    ],
    ids=["torch-momentum", "torch-adam", "gluon-momentum"],
)
@pytest.mark.parametrize("name", ORDERS)
def test_a_group_trains_as_a_plain_loop(name, library, optimizer, make):
    """One rank, and three ranks that are interrupted, end as the loop: heads rest whose turn it is not."""
    first, alone = run_ranks(1, trained, name, library, optimizer, False)[0]
    _, together = run_ranks(3, trained, name, library, optimizer, True)[0]
    turns = [order_of(name).objective(number) for number in range(len(batches()))]
    expected = plain_loop(first, turns, make)

    assert set(turns) == {0, 1}
    for key, array in expected.items():
        np.testing.assert_allclose(alone[key], array, rtol=1e-5, atol=2e-6, err_msg=key)
        np.testing.assert_allclose(together[key], array, rtol=1e-5, atol=2e-6, err_msg=key)


@pytest.mark.parametrize("library", ["torch", "gluon"])
def test_a_resting_head_keeps_its_bits(library):
    """A step on the one objective changes no bit of the other head, though it has momentum and weight decay."""

    def states(group):
        replica, found = replica_on(group, "round_robin", library, MOMENTUM), []
        for number, batch in enumerate(batches()[:4]):
            replica.step(batch, 0.05, number)
            found.append(replica.state())
        replica.close()
        return found

    found = run_ranks(1, states)[0]
    kept = [name for name in found[0] if "heads.digit." in name and "count" not in name]

    assert len(kept) >= 4
    assert all(np.array_equal(found[1][name], found[0][name]) for name in kept)
    assert all(np.array_equal(found[3][name], found[2][name]) for name in kept)
    assert not all(np.array_equal(found[2][name], found[1][name]) for name in kept)


def test_turns_of_an_epoch_are_in_given_numbers():
    """Each epoch has the whole numbers of turns by the shares, in an order that seed, epoch and step alone fix."""
    shares = (1.0, 2.0, 3.5)
    turns = Turns(how="shares", shares=shares)
    order = TurnOrder(turns, shares, 13, 4, seed=7)
    epochs = [[order.objective(13 * epoch + step) for step in range(13)] for epoch in range(4)]
    afresh = [TurnOrder(turns, shares, 13, 4, seed=7).objective(step) for step in (51, 3, 30)]
    other = [TurnOrder(turns, shares, 13, 4, seed=8).objective(step) for step in range(13)]

    assert all(Counter(each) == {0: 2, 1: 4, 2: 7} for each in epochs)
    assert epochs[0] != epochs[1]
    assert afresh == [epochs[3][12], epochs[0][3], epochs[2][4]]
    assert other != epochs[0]


def test_stages_are_whole_epochs():
    """One objective after the other has its part of the epochs; the first ones have the rest."""
    shares = (1.0, 1.0, 2.0)
    order = TurnOrder(Turns(how="stages", shares=shares), shares, 2, 5, seed=0)

    assert [order.objective(step) for step in range(10)] == [0, 0, 1, 1, 2, 2, 2, 2, 2, 2]


def test_an_objective_without_a_turn_is_refused():
    """Shares that leave an objective without a step name it, and what to change."""
    turns = Turns(how="shares", shares=(1.0, 100.0))
    order = TurnOrder(turns, turns.shares, 5, 1, seed=0)

    with pytest.raises(InputError, match="digit gets no step of an epoch; write a larger share"):
        turn_gradients(order, OBJECTIVES, "tasks.t.turns")
