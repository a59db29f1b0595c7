"""Heads that take outputs of others, in both frameworks: the reference is a few lines of plain PyTorch."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from hpcmtl.errors import InputError
from hpcmtl.exchange.store import PARAMETERS
from hpcmtl.jobfile.tasks import Optimizer
from hpcmtl.networks.architectures.mixtures import Mmoe
from hpcmtl.networks.coupled_heads import HeadInputs
from hpcmtl.networks.description import Branches, Leaf, Shared
from hpcmtl.networks.fusion import Fusion
from hpcmtl.networks.models import Mlp, UserModel
from hpcmtl.networks.objective import Objective
from hpcmtl.training.frameworks import open_framework
from hpcmtl.training.learner_settings import LearnerSettings
from hpcmtl.training.step_input import StepInput

torch = pytest.importorskip("torch")
F = torch.nn.functional

LIBRARIES = ("torch", "gluon")
OBJECTIVES = (Objective("parity", "", "softmax_ce", 1.0, ()), Objective("digit", "", "softmax_ce", 1.0, ()))
HEADS = (("parity", Leaf(Mlp(outputs=2))), ("digit", Leaf(Mlp(outputs=5))))
TRUNK = Leaf(Mlp(outputs=3, widths=(4,), activation="tanh"))
ROWS = 6


@pytest.fixture(autouse=True)
def _users_code(monkeypatch):
    monkeypatch.syspath_prepend(str(Path(__file__).parents[2] / "contracts"))
    monkeypatch.delitem(sys.modules, "own_modules", raising=False)


def coupled(gradient="pass", names=("trunk", "digit"), heads=HEADS, trunk=TRUNK):
    """A network whose first head takes the output of the second."""
    return Shared(trunk, heads, (("parity", HeadInputs(names, gradient)),))


def learner_of(library, network):
    """A learner with parameters that are alike in both frameworks."""
    settings = LearnerSettings(Optimizer(name="sgd", learning_rate=0.1), seed=2)
    learner = open_framework(library).learner(network, {"input": (7,)}, OBJECTIVES, settings)
    rng = np.random.default_rng(1)
    learner.set_parameters(
        {
            name: rng.normal(size=each.shape).astype(np.float32)
            for name, each in learner.parameters_matching("*").items()
        }
    )
    return learner


def batch():
    """Some rows with both labels."""
    rng = np.random.default_rng(3)
    inputs, weights = rng.normal(size=(ROWS, 7)).astype(np.float32), rng.uniform(size=ROWS).astype(np.float32)
    return StepInput({"input": inputs}, (rng.integers(0, 2, ROWS), rng.integers(0, 5, ROWS)), weights, ROWS)


def plain(learner, given, gradient):
    """Outputs, and the gradient of each loss by each parameter, in plain PyTorch."""
    p = {name: torch.tensor(each, requires_grad=True) for name, each in learner.parameters_matching("*").items()}

    def dense(x, prefix):
        return F.linear(x, p[f"{prefix}.weight"], p[f"{prefix}.bias"])

    code = dense(torch.tanh(dense(torch.tensor(given.inputs["input"]), "trunk.body.1")), "trunk.output")
    digit = dense(code, "heads.digit.output")
    taken = digit.detach() if gradient == "stop" else digit
    parity = dense(torch.cat([code, taken], dim=1), "heads.parity.output")
    weights, rows = torch.tensor(given.weights), []
    for output, target in zip((parity, digit), given.targets, strict=True):
        loss = (F.cross_entropy(output, torch.tensor(target), reduction="none") * weights).sum()
        found = torch.autograd.grad(loss, list(p.values()), allow_unused=True, retain_graph=True)
        rows.append({name: None if each is None else each.numpy() for name, each in zip(p, found, strict=True)})
    return {"parity": parity.detach().numpy(), "digit": digit.detach().numpy()}, rows


@pytest.mark.parametrize("gradient", ["pass", "stop"])
@pytest.mark.parametrize("library", LIBRARIES)
def test_outputs_and_gradients_are_those_of_plain_pytorch(library, gradient):
    """So are the rows of the objectives: with `pass` both losses share the other head, with `stop` they do not."""
    learner, given = learner_of(library, coupled(gradient)), batch()
    outputs, rows = plain(learner, given, gradient)
    learner.forward_backward(given, [1.0, 2.0], 1.0)
    found = {name: each.copy() for name, each in learner.gradients().items()}
    private = tuple(learner.views("private_gradients"))
    shared = [name for name in found if name not in private]
    width = sum(found[name].size for name in shared)
    of_each = np.zeros((2, width), np.float32)
    list(learner.backward_each(given, [1.0, 2.0], 1.0, of_each))

    for name, output in learner.outputs(given.inputs).items():
        np.testing.assert_allclose(output, outputs[name], rtol=1e-5, atol=1e-6)
    for name, gradient_of in found.items():
        known = [rows[0][name], rows[1][name]]
        expected = sum(factor * each for factor, each in zip((1, 2), known, strict=True) if each is not None)
        np.testing.assert_allclose(gradient_of, expected, rtol=1e-4, atol=1e-5, err_msg=name)
    assert set(private) == {name for name in found if rows[0][name] is None or rows[1][name] is None}
    assert ("heads.digit.output.weight" in private) == (gradient == "stop")
    for number, factor in enumerate((1, 2)):
        expected = np.concatenate([factor * rows[number][name].ravel() for name in shared])
        np.testing.assert_allclose(of_each[number], expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("gradient", "names"), [("pass", ("trunk", "digit")), ("stop", ("digit",)), ("pass", ("digit",))]
)
@pytest.mark.parametrize("library", LIBRARIES)
def test_inner_products_without_rows_are_those_of_the_rows(library, gradient, names):
    """Where a learner has them for such a network, products and gradients are those of the rows of the objectives."""
    wide = Leaf(Mlp(outputs=3, widths=(64, 512), activation="tanh"))
    learner, given = learner_of(library, coupled(gradient, names, trunk=wide)), batch()
    private = set(learner.views("private_gradients"))
    width = sum(each.size for name, each in learner.views("gradients").items() if name not in private)
    rows = np.zeros((2, width), np.float32)
    list(learner.backward_each(given, [1.0, 2.0], 1.0, rows))
    own = {name: each.copy() for name, each in learner.views("private_gradients").items()}
    products = learner.inner_products(given, [1.0, 2.0], 1.0)
    if products is None:
        assert library == "gluon" or not width
        return
    products.combine([0.5, 3.0])
    gradients = learner.gradients()
    shared = [each.ravel() for name, each in gradients.items() if name not in private]

    np.testing.assert_allclose(products.gramian, rows.astype(float) @ rows.T, rtol=1e-4)
    np.testing.assert_allclose(np.concatenate(shared), np.array([0.5, 3.0]) @ rows, rtol=1e-4, atol=1e-5)
    for name, each in own.items():
        np.testing.assert_allclose(gradients[name], each, rtol=1e-5, atol=1e-6)


FUSED = Fusion(encoders={"trunk": Mlp(outputs=3), "digit": Mlp(outputs=2)}, outputs=2)


@pytest.mark.parametrize(
    "network",
    [
        coupled(),
        coupled(names=("digit",)),
        coupled("stop", heads=(("parity", Leaf(FUSED)), HEADS[1])),
        coupled(trunk=Branches(TRUNK, ("parity", "digit"), Mmoe(experts=2))),
        Shared(
            TRUNK,
            (*HEADS, ("third", Leaf(Mlp(outputs=4)))),
            (("parity", HeadInputs(("third", "digit", "trunk"))), ("third", HeadInputs(("digit",), "stop"))),
        ),
    ],
)
def test_both_frameworks_put_out_the_same(network):
    """An artifact of one framework is one of the other: same names, same outputs, also of each head as a part."""
    names = tuple(name for name, _ in network.heads)
    gluon, other = (open_framework(name).network(network, {"input": (7,)}, names) for name in ("gluon", "torch"))
    rng = np.random.default_rng(0)
    state = {key: rng.normal(size=each.shape).astype(np.float32) for key, each in gluon.parameter_arrays().items()}
    inputs = batch().inputs
    gluon.load_parameters(state)
    other.load_parameters(state)
    expected, found = gluon.outputs(inputs), other.outputs(inputs)

    assert list(other.parameter_arrays()) == list(gluon.parameter_arrays())
    assert all(name.removeprefix(PARAMETERS).startswith(("trunk.", "heads.")) for name in state)
    assert list(found) == list(expected) == list(names)
    for name in names:
        np.testing.assert_allclose(found[name], expected[name], rtol=1e-5, atol=1e-6)
        for network_of in (gluon, other):
            part = network_of.outputs(inputs, f"heads.{name}")["values"]
            np.testing.assert_allclose(part, expected[name], rtol=1e-5, atol=1e-6)


class ByName(torch.nn.Module):
    """A head with two inputs, of a size that only running shows."""

    def __init__(self):
        super().__init__()
        self.layer = torch.nn.LazyLinear(2)

    def forward(self, digit, trunk):
        return self.layer(digit[:, :3] * trunk)


class Joined(torch.nn.Module):
    """A head with one input."""

    def __init__(self):
        super().__init__()
        self.layer = torch.nn.LazyLinear(5)

    def forward(self, x):
        return self.layer(x)


def test_heads_of_users_take_joined_inputs_or_each_by_its_name():
    """The arguments of their forward pass decide, and shapes that only running shows reach the heads behind."""
    here = f"{__name__}:"
    heads = (("parity", Leaf(UserModel(name=f"{here}ByName"))), ("digit", Leaf(UserModel(name=f"{here}Joined"))))
    made = open_framework("torch").network(coupled(heads=heads), {"input": (7,)}, ("parity", "digit"))
    joined = (("parity", Leaf(UserModel(name=f"{here}Joined"))), heads[1])
    other = open_framework("torch").network(coupled(heads=joined), {"input": (7,)}, ("parity", "digit"))

    assert made.outputs(batch().inputs)["parity"].shape == (ROWS, 2)
    assert other.parameter_arrays()[f"{PARAMETERS}heads.parity.layer.weight"].shape == (5, 3 + 5)


def test_a_head_of_users_with_other_inputs_is_refused():
    """The message has the inputs that it takes."""
    heads = (("parity", Leaf(UserModel(name=f"{__name__}:ByName"))), *HEADS[1:])

    with pytest.raises(InputError, match="trunk"):
        open_framework("torch").network(coupled(heads=heads, names=("digit",)), {"input": (7,)}, ("parity", "digit"))


class WritesOverItsInput(torch.nn.Module):
    """A head that begins with an operation in place."""

    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(5, 2)

    def forward(self, x):
        return self.layer(torch.relu_(x))


def test_a_head_that_changes_the_output_of_another_is_refused():
    """The other head's loss would be that of changed scores."""
    heads = (("parity", Leaf(UserModel(name=f"{__name__}:WritesOverItsInput"))), HEADS[1])

    with pytest.raises(InputError, match="in place|its input"):
        open_framework("torch").network(coupled(heads=heads, names=("digit",)), {"input": (7,)}, ("parity", "digit"))
