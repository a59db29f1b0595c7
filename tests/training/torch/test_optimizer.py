"""Optimizers take the steps of torch.optim, keep their whole state, and refuse options that they do not have."""

import sys
from pathlib import Path

import numpy as np
import pytest

from hpcmtl.errors import InputError
from hpcmtl.jobfile.tasks import Optimizer
from hpcmtl.training.frameworks import open_framework

torch = pytest.importorskip("torch")

OPTIMIZERS = [
    Optimizer(name="sgd", learning_rate=0.1, weight_decay=0.01, options={"momentum": 0.9, "nesterov": True}),
    *(
        Optimizer(name=name, learning_rate=0.01)
        for name in ("adam", "adamw", "adamax", "nadam", "radam", "rmsprop", "adagrad", "adadelta", "asgd", "rprop")
    ),
    Optimizer(name="adafactor", learning_rate=0.01),
    Optimizer(name="adam", learning_rate=0.01, weight_decay=0.1, options={"betas": [0.8, 0.9], "amsgrad": True}),
    Optimizer(name="torch.optim:SGD", learning_rate=0.1, options={"momentum": 0.5}),
    Optimizer(name="own_modules:Counting", learning_rate=0.1, options={"fall": 0.8}),
    Optimizer(name="own_modules:Slowing", learning_rate=0.1),
]


@pytest.fixture(autouse=True)
def _users_code(monkeypatch):
    monkeypatch.syspath_prepend(str(Path(__file__).parents[2] / "contracts"))
    monkeypatch.delitem(sys.modules, "own_modules", raising=False)


def parameters():
    """Two parameters with equal values at each call."""
    rng = np.random.default_rng(0)
    return {
        name: torch.nn.Parameter(torch.tensor(rng.normal(size=s).astype(np.float32)))
        for name, s in {"weight": (3, 4), "bias": (3,)}.items()
    }


def give_gradients(named, step):
    """Gradients of a step, equal for all who ask."""
    rng = np.random.default_rng(step)
    for parameter in named.values():
        parameter.grad = torch.tensor(rng.normal(size=parameter.shape).astype(np.float32))


def updated(named, updater, steps):
    """The values after some steps with a changing rate."""
    for step in steps:
        give_gradients(named, step)
        updater.update(0.01 / (1 + step), 1.0)
    return {name: parameter.detach().numpy().copy() for name, parameter in named.items()}


def module():
    """The module of the optimizers, which imports torch."""
    open_framework("torch")
    return sys.modules["hpcmtl.training.torch.optimizer"]


@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=lambda each: each.name)
def test_steps_and_state(optimizer):
    """Steps are those of torch.optim, and an updater with the state of another one goes on with the same bits."""
    named = parameters()
    updater = module().TorchUpdater(named, optimizer)
    half = updated(named, updater, range(3))
    state = updater.state()
    whole = updated(named, updater, range(3, 6))
    plain = parameters()
    own = module().make_optimizer(optimizer, list(plain.values()), fused=False)
    for step in range(3):
        give_gradients(plain, step)
        own.param_groups[0]["lr"] = 0.01 / (1 + step)
        own.step()
    again = parameters()
    with torch.no_grad():
        for name, parameter in again.items():
            parameter.copy_(torch.tensor(half[name]))
    other = module().TorchUpdater(again, optimizer)
    other.load_state(state)
    resumed = updated(again, other, range(3, 6))

    assert all(np.allclose(half[name], plain[name].detach().numpy(), rtol=1e-6, atol=1e-7) for name in half)
    assert all(np.array_equal(resumed[name], whole[name]) for name in whole)
    assert all(array.flags.owndata or not array.flags.writeable for array in state.values())


@pytest.mark.parametrize(
    ("optimizer", "said"),
    [
        (Optimizer(name="sgd", learning_rate=0.1, options={"momentun": 0.9}), "has no option 'momentun'.*momentum"),
        (Optimizer(name="sgd", learning_rate=0.1, options={"lr": 0.9}), "use `learning_rate` of the optimizer"),
        (Optimizer(name="sgd", learning_rate=0.1, options={"momentum": [1]}), "takes a number"),
        (Optimizer(name="sgd", learning_rate=0.1, options={"nesterov": True}), "cannot be made with"),
        (Optimizer(name="rprop", learning_rate=0.1, weight_decay=0.1), "takes no weight_decay"),
        (
            Optimizer(name="torch.optim:LBFGS", learning_rate=0.1),
            "asks for a closure, to compute the loss",
        ),
        (Optimizer(name="torch.nn:Identity", learning_rate=0.1), "not a torch.optim.Optimizer"),
    ],
    ids=lambda each: each.name if isinstance(each, Optimizer) else None,
)
def test_what_cannot_be_made_is_refused(optimizer, said):
    """Options that do not exist, fit or have an effect are refused, and so is what is no optimizer for steps."""
    with pytest.raises(InputError, match=said):
        module().make_optimizer(optimizer, list(parameters().values()))


@pytest.mark.parametrize("optimizer", [OPTIMIZERS[0], OPTIMIZERS[1]], ids=["sgd", "adam"])
def test_parameters_that_rested_join_the_others(optimizer):
    """A parameter that rested in the first steps, and then moves with all others, moves as in plain PyTorch."""
    named, plain = parameters(), parameters()
    updater = module().TorchUpdater(named, optimizer)
    own = module().make_optimizer(optimizer, list(plain.values()), fused=False)
    for step, resting in enumerate([{"bias"}, {"bias"}, set(), {"weight"}, set()]):
        give_gradients(named, step)
        updater.update(0.01, 1.0, frozenset(resting))
        give_gradients(plain, step)
        for name in resting:
            plain[name].grad = None
        own.param_groups[0]["lr"] = 0.01
        own.step()

    for name, each in named.items():
        np.testing.assert_allclose(each.detach().numpy(), plain[name].detach().numpy(), rtol=1e-6, atol=1e-7)


def test_a_state_that_cannot_be_kept_is_refused():
    """An object that an optimizer keeps for each parameter would be lost in a checkpoint."""
    named = parameters()
    updater = module().TorchUpdater(named, Optimizer(name="own_modules:Keeping", learning_rate=0.1))
    updated(named, updater, range(1))

    with pytest.raises(InputError, match="keeps a object for each parameter"):
        updater.state()


@pytest.mark.parametrize(
    ("name", "options", "fused"),
    [
        ("adam", {}, True),
        ("sgd", {"momentum": 0.9}, True),
        ("adam", {"fused": False}, False),
        ("adamw", {"foreach": True}, None),
        ("adamax", {}, None),
        ("torch.optim:Adam", {}, None),
    ],
)
def test_one_kernel_updates_what_it_can(name, options, fused):
    """PyTorch's one kernel is taken where its class has one, unless the job names the class or asks for another way."""
    optimizer = Optimizer(name=name, learning_rate=0.1, options=options)
    made = module().make_optimizer(optimizer, list(parameters().values()))

    assert {group.get("fused") for group in made.param_groups} == {fused}


def test_complex_numbers_have_no_kernel():
    """Parameters that are no real numbers are updated in PyTorch's default way."""
    turning = torch.nn.Parameter(torch.ones(3, dtype=torch.complex64))
    made = module().make_optimizer(Optimizer(name="adam", learning_rate=0.1), [turning])

    assert made.param_groups[0]["fused"] is None
