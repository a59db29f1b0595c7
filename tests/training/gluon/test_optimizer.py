"""Optimizers by name or of the user's, and their whole state as arrays: a training goes on as if never interrupted."""

from __future__ import annotations

import json

import numpy as np
import pytest

from hpcmtl.errors import InputError
from hpcmtl.jobfile.tasks import Optimizer
from hpcmtl.training.gluon.compat import import_mxnet
from hpcmtl.training.gluon.description import GLUON
from hpcmtl.training.gluon.optimizer import Updater, make_optimizer

mx = import_mxnet()

CASES = [
    Optimizer(name=name, learning_rate=0.01, weight_decay=0.001)
    for name in GLUON.optimizers
    if name != "groupadagrad"  # it takes matrices alone
]
CASES += [
    Optimizer(name="sgd", learning_rate=0.01, options={"momentum": 0.9}),
    Optimizer(name="nag", learning_rate=0.01, options={"momentum": 0.9}),
    Optimizer(name="rmsprop", learning_rate=0.01, options={"centered": True}),
    Optimizer(name="lars", learning_rate=0.01, options={"momentum": 0.9}),  # corrects the momentum by the last rate
    Optimizer(name="own_blocks:Halving", learning_rate=0.01),
    Optimizer(name="own_blocks:Slowing", learning_rate=0.01),
    Optimizer(name="own_blocks:Remembering", learning_rate=0.01),
]
SHAPES = {"a.weight": (4, 3), "a.bias": (4,), "b.weight": (2, 4), "b.bias": (2,), "c.weight": (5,), "d.weight": (1,)}


def parameters(values=None):
    """Fresh parameters, all ones or with given values."""
    made = {}
    for name, shape in SHAPES.items():
        made[name] = mx.gluon.Parameter(name, shape=shape, init="ones")
        made[name].initialize()
        if values is not None:
            made[name].set_data(mx.nd.array(values[name]))
    return made


def take_steps(updater, made, first, count):
    """Steps with gradients that depend on nothing but the number of the step; return the values after them."""
    for step in range(first, first + count):
        generator = np.random.default_rng(step)
        mx.random.seed(step)  # sgld draws random numbers
        for parameter in made.values():
            parameter.grad()[:] = mx.nd.array(generator.normal(size=parameter.shape))
        updater.update(0.01 / (1 + step), 0.5)
    return {name: parameter.data().asnumpy() for name, parameter in made.items()}


@pytest.mark.parametrize("optimizer", CASES, ids=lambda each: f"{each.name}{''.join(each.options)}")
def test_state_goes_round(optimizer):
    """Four steps, save, load in a new updater, four steps: the same bits as eight steps."""
    straight = parameters()
    expected = take_steps(Updater(straight, optimizer), straight, 0, 8)
    first = parameters()
    updater = Updater(first, optimizer)
    values = take_steps(updater, first, 0, 4)
    state = updater.state()
    second = parameters(values)
    resumed = Updater(second, optimizer)
    resumed.load_state(state)
    made = take_steps(resumed, second, 4, 4)

    assert all(np.isfinite(array).all() for array in expected.values())
    assert not any(np.array_equal(values[name], expected[name]) for name in SHAPES)
    assert all(np.array_equal(made[name], expected[name]) for name in SHAPES)
    again = resumed_state(optimizer, values, state)
    assert again.keys() == state.keys()
    assert all(np.array_equal(again[name], state[name]) for name in state)


def resumed_state(optimizer, values, state):
    """Returns the saved state of an updater that has loaded a state and done nothing."""
    updater = Updater(parameters(values), optimizer)
    updater.load_state(state)
    return updater.state()


@pytest.mark.parametrize("optimizer", CASES, ids=lambda each: f"{each.name}{''.join(each.options)}")
def test_a_step_is_that_of_plain_gluon(optimizer):
    """Three steps of every optimizer have the bits of `gluon.Trainer` with the same gradients."""
    ours, plain = parameters(), parameters()
    if ":" in optimizer.name:
        pytest.skip("an optimizer of the user's has no name in Gluon")
    options = {"learning_rate": 0.01, "wd": optimizer.weight_decay, **optimizer.options}
    trainer = mx.gluon.Trainer(list(plain.values()), optimizer.name, options, kvstore=None)
    made = take_steps(Updater(ours, optimizer), ours, 0, 3)
    for step in range(3):
        generator = np.random.default_rng(step)
        mx.random.seed(step)
        for parameter in plain.values():
            parameter.grad()[:] = mx.nd.array(generator.normal(size=parameter.shape))
            parameter.data()._fresh_grad = True  # as a backward pass would leave it
        trainer.set_learning_rate(0.01 / (1 + step))
        trainer.step(2)

    assert all(np.array_equal(made[name], parameter.data().asnumpy()) for name, parameter in plain.items())


def test_all_optimizers_of_the_framework_have_their_name():
    """The names of a job file are those that MXNet registers, but for its `test`."""
    registered = mx.optimizer.Optimizer.opt_registry.items()  # those of users register, too
    own = {name for name, made in registered if made.__module__.startswith("mxnet.")}

    assert set(GLUON.optimizers) == own - {"test"}


@pytest.mark.parametrize("used_by", ["adam", "nadam", "own_blocks:Remembering"])
def test_a_fresh_state_takes_the_place_of_a_used_one(used_by):
    """Loading the state of before the first step forgets all moments, and what updates left in attributes."""
    optimizer = Optimizer(name=used_by, learning_rate=0.01)
    fresh = parameters()
    expected = take_steps(Updater(fresh, optimizer), fresh, 0, 3)
    used = parameters()
    updater = Updater(used, optimizer)
    before = updater.state()
    take_steps(updater, used, 5, 3)
    updater.load_state(before)
    for name, parameter in parameters().items():
        used[name].set_data(parameter.data())
    made = take_steps(updater, used, 0, 3)

    assert all(np.array_equal(made[name], expected[name]) for name in SHAPES)


def test_an_attribute_that_cannot_be_kept_is_refused():
    """A generator of random numbers that updates have used is refused by name, and not before."""
    made = parameters()
    updater = Updater(made, Optimizer(name="own_blocks:Drawing", learning_rate=0.01))
    fresh = updater.state()
    take_steps(updater, made, 0, 1)

    assert list(fresh) == ["update_counts", "updated_parameters"]
    with pytest.raises(InputError, match="its attribute generator is a Generator, which a checkpoint cannot hold"):
        updater.state()


def test_a_state_of_earlier_versions():
    """Numbers that earlier versions kept as arrays of their own are restored."""
    made = parameters()
    updater = Updater(made, Optimizer(name="nadam", learning_rate=0.01))
    take_steps(updater, made, 0, 3)
    state = updater.state()
    schedule = json.loads(state["attributes"].tobytes())["m_schedule"]["plain"]
    older = {name: array for name, array in state.items() if name != "attributes"} | {
        "m_schedule": np.array([schedule])
    }
    again = Updater(parameters(), Optimizer(name="nadam", learning_rate=0.01))
    again.load_state(older)

    assert again.state()["attributes"].tobytes() == state["attributes"].tobytes()


def test_rate_rescale_and_decay():
    """Plain gradient descent does what its formula says: w - rate * (rescale * g + decay * w)."""
    made = parameters()
    updater = Updater(made, Optimizer(name="sgd", learning_rate=9.0, weight_decay=0.1))
    for parameter in made.values():
        parameter.grad()[:] = 4.0
    updater.update(0.5, 0.25)

    for parameter in made.values():
        np.testing.assert_allclose(parameter.data().asnumpy(), 1 - 0.5 * (0.25 * 4 + 0.1 * 1), rtol=1e-6)


def test_an_optimizer_of_the_users():
    """`package.module:attribute` is called with rate and decay, and its update is used."""
    made = parameters()
    updater = Updater(made, Optimizer(name="own_blocks:Halving", learning_rate=9.0))
    for parameter in made.values():
        parameter.grad()[:] = 2.0
    updater.update(0.1, 1.0)

    assert type(make_optimizer(Optimizer(name="own_blocks:Halving", learning_rate=1.0))).__name__ == "Halving"
    for parameter in made.values():
        np.testing.assert_allclose(parameter.data().asnumpy(), 1 - 0.5 * 0.1 * 2.0, rtol=1e-6)


@pytest.mark.parametrize(
    ("name", "options", "said"),
    [
        ("sgd", {"momentun": 0.9}, "has no option 'momentun'; did you mean 'momentum'?"),
        ("sgd", {"momentum": True}, "option momentum is True; it takes a number, such as 0.0"),
        ("rmsprop", {"centered": "no"}, "option centered is 'no', a text, which counts as true; write true or false"),
        ("lars", {"eta": "high"}, "option eta is 'high'; it takes a number"),
        ("sgd", {"rescale_grad": 0.5}, "option rescale_grad would have no effect: leave it out, hpcmtl sets it"),
        ("adam", {"lr_scheduler": 3}, "option lr_scheduler would have no effect: use `schedule` of the optimizer"),
        ("lbsgd", {"batch_scale": 4}, "option batch_scale is 4: .* use a larger batch_size"),
        ("own_blocks:Halving", {"depth": 3}, "depth"),
        ("own_blocks:Missing", {}, "cannot be imported"),
        ("own_blocks:scheduled", {}, "has a schedule of its own .* use `schedule` of the optimizer"),
        ("own_blocks:not_a_block", {}, "makes a int, not an MXNet optimizer"),
    ],
)
def test_what_cannot_be_made_is_refused(name, options, said):
    """Options that do not fit, and names that stand for no optimizer, are input errors that say so."""
    with pytest.raises(InputError, match=said):
        make_optimizer(Optimizer(name=name, learning_rate=0.1, options=options))


def test_only_some_optimizers_draw_random_numbers():
    """SGLD draws, and a user's optimizer may; they follow the streams of the task, the others cost no time."""
    drawn = {
        name: Updater({}, Optimizer(name=name, learning_rate=0.1)).may_draw
        for name in ("sgd", "adam", "lamb", "mxnet.optimizer:SGLD", "own_blocks:Halving")
    }

    assert [name for name, draws in drawn.items() if draws] == ["mxnet.optimizer:SGLD", "own_blocks:Halving"]
