"""Architectures of joint networks: the formulas of the papers in numpy, the same numbers in both frameworks."""

from __future__ import annotations

import numpy as np
import pytest
import replica_suite as suite
from collective_suite import assert_same_bits
from pydantic import TypeAdapter

from hpcmtl.communicators.inproc import run_ranks
from hpcmtl.errors import InputError
from hpcmtl.exchange.store import PARAMETERS
from hpcmtl.networks.architectures.choice import ArchitectureChoice
from hpcmtl.networks.description import Branches, Leaf, Part, Shared, parts_of
from hpcmtl.networks.fusion import Fusion
from hpcmtl.networks.models import ConvAutoencoder, ConvNet, EmbeddingRnn, Mlp, UserModel
from hpcmtl.networks.objective import Objective
from hpcmtl.training.frameworks import open_framework
from hpcmtl.training.learner_settings import LearnerSettings
from hpcmtl.training.multitask.methods import make_method
from hpcmtl.training.multitask.step_gradients import StepGradients
from hpcmtl.training.multitask.weightings.base import WeightingSetup
from hpcmtl.training.replica import Replica
from hpcmtl.training.step_input import StepInput
from hpcmtl.training.strategies.select import StrategySettings, open_strategy

pytestmark = pytest.mark.slow

torch = pytest.importorskip("torch")
CHOICE = TypeAdapter(ArchitectureChoice)
NAMES = ("train", "b")  # a module of PyTorch has a method `train`
HEADS = (("train", Leaf(Mlp(outputs=3))), ("b", Leaf(Mlp(outputs=1))))
MLP = Leaf(Mlp(widths=(5,), outputs=4, activation="tanh"))
IMAGES = Leaf(ConvNet(channels=(2, 3), widths=(6,), outputs=4))
ALL = {
    "mmoe": {"name": "mmoe", "experts": 3},
    "cgc": {"name": "cgc", "shared": 2, "own": 1},
    "ple": {"name": "ple", "shared": 1, "own": 2, "levels": [{"name": "mlp", "outputs": 3}]},
    "cross_stitch": {"name": "cross_stitch", "own": 0.7},
    "channels": {"name": "cross_stitch", "per": "channel"},
    "mtan": {"name": "mtan"},
    "dselect_k": {"name": "dselect_k", "experts": 4, "chosen": 2},
    "chosen_by_input": {"name": "dselect_k", "experts": 8, "chosen": 3, "gates": "inputs", "gamma": 2.5},
}


def network_of(architecture, trunk=MLP):
    """A network with two heads by an architecture of the job file."""
    return Shared(Branches(trunk, NAMES, CHOICE.validate_python(architecture)), HEADS)


def both(network, samples, names=NAMES):
    """The network in Gluon and in PyTorch, with the same random parameters, which are returned as well."""
    made = [open_framework(name).network(network, samples, names) for name in ("gluon", "torch")]
    shapes = [{name: array.shape for name, array in each.parameter_arrays().items()} for each in made]
    rng = np.random.default_rng(1)
    state = {name: rng.normal(size=shape).astype(np.float32) * 0.6 for name, shape in shapes[0].items()}
    assert shapes[0] == shapes[1]
    for each in made:
        each.load_parameters(state)
    return made, {name.removeprefix(PARAMETERS): array.astype(np.float64) for name, array in state.items()}


def rows_of(samples, count=4):
    """Random samples of each input."""
    rng = np.random.default_rng(2)
    return {name: rng.normal(size=(count, *shape)).astype(np.float32) for name, shape in samples.items()}


def softmax(x):
    """Softmax of rows."""
    powers = np.exp(x - x.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def sigmoid(x):
    """Logistic function."""
    return 1 / (1 + np.exp(-x))


def dense(values, name, x):
    """A dense layer of a network with parameters by name."""
    return x @ values[f"{name}.weight"].T + values.get(f"{name}.bias", 0)


def expert(values, name, x):
    """The trunk `MLP`."""
    return dense(values, f"{name}.output", np.tanh(dense(values, f"{name}.body.1", x)))


def gate(values, name, x):
    """A softmax gate on one input."""
    return softmax(x @ values[f"{name}.input.weight"].T)


def mixed(weights, parts):
    """The sum of values with a weight for each sample."""
    return sum(weights[:, [number]] * part for number, part in enumerate(parts))


def mmoe(values, x, head):
    """Equation 5 to 7 of Ma et al. (2018)."""
    return mixed(gate(values, f"trunk.gates.{head}", x), [expert(values, f"trunk.experts.{e}", x) for e in range(3)])


def cgc(values, x, head):
    """Equation 1 to 3 of Tang et al. (2020): experts of the head first, then the shared ones."""
    names = [f"trunk.levels.0.own.{head}.0", "trunk.levels.0.shared.0", "trunk.levels.0.shared.1"]
    weights = gate(values, f"trunk.levels.0.gates.own.{head}", x)
    return mixed(weights, [expert(values, name, x) for name in names])


def ple(values, x, head):
    """Equation 5 and 6 of Tang et al. (2020) for two levels."""
    first, second = "trunk.levels.0", "trunk.levels.1"
    shared = [expert(values, f"{first}.shared.0", x)]
    own = {each: [expert(values, f"{first}.own.{each}.{e}", x) for e in range(2)] for each in NAMES}
    of_head = mixed(gate(values, f"{first}.gates.own.{head}", x), [*own[head], *shared])
    of_all = mixed(gate(values, f"{first}.gates.shared", x), [*own["train"], *own["b"], *shared])
    parts = [dense(values, f"{second}.own.{head}.{e}.output", of_head) for e in range(2)]
    parts.append(dense(values, f"{second}.shared.0.output", of_all))
    return mixed(gate(values, f"{second}.gates.own.{head}", of_head), parts)


def cross_stitch(values, x, head):
    """Equation 1 of Misra et al. (2016), behind both layers; `weight` is a row of the matrix of a unit."""
    towers = dict.fromkeys(NAMES, x)
    for number, layer in enumerate(("body.1", "output")):
        made = {name: dense(values, f"trunk.towers.{name}.{layer}", each) for name, each in towers.items()}
        made = {name: np.tanh(each) if number == 0 else each for name, each in made.items()}
        rows = {name: values[f"trunk.stitches.{number}.{name}.weight"] for name in NAMES}
        towers = {name: rows[name][0] * made["train"] + rows[name][1] * made["b"] for name in NAMES}
    return towers[head]


def mtan(values, x, head):
    """Equation 1 and 2 of Liu et al. (2019) for dense layers, without normalisation."""
    first = np.tanh(dense(values, "trunk.shared.body.1", x))
    second = dense(values, "trunk.shared.output", first)
    hidden = np.maximum(dense(values, f"trunk.masks.0.{head}.own", first), 0)
    attended = sigmoid(dense(values, f"trunk.masks.0.{head}.mask", hidden)) * first
    step = np.maximum(dense(values, f"trunk.steps.0.{head}.1", attended), 0)
    joined = np.concatenate([second, step], axis=1)
    names = [f"trunk.masks.1.{head}.{each}.weight" for each in ("own", "before")]
    weight = np.concatenate([values[name] for name in names], axis=1)
    hidden = np.maximum(joined @ weight.T + values[f"trunk.masks.1.{head}.own.bias"], 0)
    return sigmoid(dense(values, f"trunk.masks.1.{head}.mask", hidden)) * second


def selected(codes, weights, gamma, experts):
    """Equation 3 to 5 of Hazimeh et al. (2021): digits of the numbers of experts, the lowest one first."""
    total = np.zeros((len(codes), experts))
    for row, (code, weight) in enumerate(zip(codes, softmax(weights), strict=True)):
        for z, part in zip(code, weight, strict=True):
            step = np.where(
                z <= -gamma / 2, 0, np.where(z >= gamma / 2, 1, -2 / gamma**3 * z**3 + 1.5 / gamma * z + 0.5)
            )
            for number in range(experts):
                digits = [number >> place & 1 for place in range(len(z))]
                total[row, number] += part * np.prod([s if d else 1 - s for s, d in zip(step, digits, strict=True)])
    return total


def dselect_k(values, x, head):
    """The codes and weights are parameters."""
    codes = np.tile(values[f"trunk.gates.{head}.code"].reshape(1, 2, 2), (len(x), 1, 1))
    weights = selected(codes, np.tile(values[f"trunk.gates.{head}.weight"], (len(x), 1)), 1.0, 4)
    return mixed(weights, [expert(values, f"trunk.experts.{e}", x) for e in range(4)])


def chosen_by_input(values, x, head):
    """The codes and weights are linear in the input."""
    name = f"trunk.gates.{head}"
    codes = (x @ values[f"{name}.codes.input.weight"].T + values[f"{name}.code"]).reshape(-1, 3, 3)
    weights = x @ values[f"{name}.weights.input.weight"].T + values[f"{name}.weight"]
    return mixed(selected(codes, weights, 2.5, 8), [expert(values, f"trunk.experts.{e}", x) for e in range(8)])


FORMULAS = {each.__name__: each for each in (mmoe, cgc, ple, cross_stitch, mtan, dselect_k, chosen_by_input)}


@pytest.mark.parametrize("name", FORMULAS)
def test_the_formulas_of_the_papers(name):
    """Both frameworks compute the codes of the heads, and their outputs, as the papers define them."""
    made, values = both(network_of(ALL[name]), {"input": (6,)})
    samples = rows_of({"input": (6,)})
    x = samples["input"].astype(np.float64)

    for head in NAMES:
        code = FORMULAS[name](values, x, head)
        for each in made:
            found = each.outputs(samples, f"trunk.codes.{head}")["values"]
            np.testing.assert_allclose(found, code, rtol=1e-5, atol=1e-5)
            expected = dense(values, f"heads.{head}.output", code)
            np.testing.assert_allclose(each.outputs(samples)[head], expected, rtol=1e-5, atol=1e-5)


def test_layers_of_images_are_mixed():
    """A cross-stitch network of images in torch's functions: a weight for each channel, behind the pooling."""
    made, values = both(network_of(ALL["channels"], IMAGES), {"input": (1, 5, 6)})
    samples = rows_of({"input": (1, 5, 6)})
    given = {name: torch.from_numpy(array).float() for name, array in values.items()}
    towers = dict.fromkeys(NAMES, torch.from_numpy(samples["input"]))
    for number, layer in enumerate(("body.0", "body.2", "body.5", "output")):
        found = {}
        for name, each in towers.items():
            weight, bias = given[f"trunk.towers.{name}.{layer}.weight"], given[f"trunk.towers.{name}.{layer}.bias"]
            if weight.dim() == 4:
                convolved = torch.relu(torch.nn.functional.conv2d(each, weight, bias, padding=1))
                found[name] = torch.nn.functional.max_pool2d(convolved, 2, ceil_mode=True)
            else:
                linear = each.flatten(1) @ weight.T + bias
                found[name] = torch.relu(linear) if layer == "body.5" else linear
        shape = (1, -1, 1, 1) if found["b"].dim() == 4 else (1, -1)
        rows = {name: given[f"trunk.stitches.{number}.{name}.weight"] for name in NAMES}
        towers = {
            name: sum(row.reshape(shape) * found[other] for row, other in zip(rows[name], NAMES, strict=True))
            for name in NAMES
        }

    for head in NAMES:
        for each in made:
            code = each.outputs(samples, f"trunk.codes.{head}")["values"]
            np.testing.assert_allclose(code, towers[head].numpy(), rtol=1e-4, atol=1e-5)


def test_masks_of_images():
    """An attention network of images in torch's functions: masks pixel by pixel, and a convolution between them."""
    trunk = Part(Leaf(ConvNet(channels=(2, 3), outputs=4)), "body")
    made, values = both(network_of(ALL["mtan"], trunk), {"input": (1, 5, 6)})
    samples = rows_of({"input": (1, 5, 6)})
    given = {name: torch.from_numpy(array).float() for name, array in values.items()}
    conv = torch.nn.functional.conv2d

    def layer(name, x, padding=1):
        return torch.relu(conv(x, given[f"{name}.weight"], given[f"{name}.bias"], padding=padding))

    def mask(name, hidden):
        return torch.sigmoid(conv(torch.relu(hidden), given[f"{name}.mask.weight"], given[f"{name}.mask.bias"]))

    def pooled(x):
        return torch.nn.functional.max_pool2d(x, 2, ceil_mode=True)

    first = layer("trunk.shared.0", torch.from_numpy(samples["input"]))
    second = layer("trunk.shared.2", pooled(first))
    for head in NAMES:
        name, after = f"trunk.masks.0.{head}", f"trunk.masks.1.{head}"
        attended = mask(name, conv(first, given[f"{name}.own.weight"], given[f"{name}.own.bias"])) * first
        step = layer(f"trunk.steps.0.{head}", pooled(attended))
        weight = torch.cat([given[f"{after}.own.weight"], given[f"{after}.before.weight"]], dim=1)
        hidden = conv(torch.cat([second, step], dim=1), weight, given[f"{after}.own.bias"])
        code = pooled(mask(after, hidden) * second).flatten(1)
        for each in made:
            found = each.outputs(samples, f"trunk.codes.{head}")["values"]
            np.testing.assert_allclose(found, code.numpy(), rtol=1e-4, atol=1e-5)


TABLE_AND_IMAGE = Leaf(
    Fusion(encoders={"table": Mlp(outputs=3), "image": ConvNet(channels=(2,), outputs=2)}, outputs=4)
)
SEVERAL = {"table": (3,), "image": (1, 4, 4)}


@pytest.mark.parametrize(
    ("name", "trunk", "samples"),
    [
        ("mmoe", TABLE_AND_IMAGE, SEVERAL),
        ("chosen_by_input", TABLE_AND_IMAGE, SEVERAL),
        ("ple", Part(Leaf(ConvAutoencoder(channels=(2,), code=3)), "encoder"), {"input": (1, 6, 6)}),
        ("cgc", Part(IMAGES, "body"), {"input": (1, 5, 4)}),
        ("mtan", IMAGES, {"input": (2, 3, 4)}),
        ("channels", Part(Leaf(ConvAutoencoder(channels=(2,), code=3)), "encoder"), {"input": (1, 6, 6)}),
    ],
)
def test_both_frameworks_agree(name, trunk, samples):
    """Names of parameters and outputs are the same for other trunks and for several inputs, in any order."""
    network = network_of(ALL[name], trunk)
    (gluon, pytorch), _ = both(network, samples)
    given = rows_of(samples)

    for part in (None, *parts_of(network)):
        expected = gluon.outputs(dict(reversed(given.items())), part)
        for key, array in pytorch.outputs(given, part).items():
            np.testing.assert_allclose(array, expected[key], rtol=1e-5, atol=2e-5)


def test_gates_of_several_inputs():
    """A gate is the softmax of one linear map of all inputs, flattened and joined."""
    (gluon, pytorch), values = both(network_of(ALL["mmoe"], TABLE_AND_IMAGE), SEVERAL)
    given = rows_of(SEVERAL)
    flat = np.concatenate([given[name].reshape(4, -1) for name in ("image", "table")], axis=1)
    names = [f"trunk.gates.b.{each}.weight" for each in ("image", "table")]
    expected = softmax(flat @ np.concatenate([values[name] for name in names], axis=1).T)

    for each in (gluon, pytorch):
        np.testing.assert_allclose(each.outputs(given, "trunk.gates.b")["values"], expected, rtol=1e-5, atol=1e-6)


def test_static_gates_beside_tokens():
    """DSelect-k with a static choice takes a trunk of tokens, alike in both frameworks."""
    trunk = Leaf(EmbeddingRnn(vocabulary=7, embedding=3, hidden=4, outputs=4))
    (gluon, pytorch), _ = both(network_of(ALL["dselect_k"], trunk), {"input": (5,)})
    tokens = {"input": np.random.default_rng(3).integers(0, 7, (4, 5))}

    for key, array in pytorch.outputs(tokens).items():
        np.testing.assert_allclose(array, gluon.outputs(tokens)[key], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("library", "trunk"),
    [
        ("torch", Leaf(UserModel(name="own_modules:dense_normalised"))),
        ("gluon", Part(Leaf(UserModel(name="own_blocks:TwoParts")), "neck")),
    ],
)
def test_experts_of_users(library, trunk):
    """Networks of the user's are experts, and their shapes are found by running them."""
    made = open_framework(library).network(network_of(ALL["ple"], trunk), {"input": (6, 6)}, NAMES)

    found = made.outputs(rows_of({"input": (6, 6)}))

    assert {name: array.shape for name, array in found.items()} == {"train": (4, 3), "b": (4, 1)}


def test_an_expert_that_writes_over_its_input():
    """Others would get what the first expert left: it is refused when the network is built."""
    trunk = Leaf(UserModel(name="own_modules:overwriting"))

    with pytest.raises(InputError, match="Sequential writes over its input, which other heads, experts or gates take"):
        open_framework("torch").network(network_of(ALL["mmoe"], trunk), {"input": (6,)}, NAMES)


@pytest.mark.parametrize("library", ["torch", "gluon"])
def test_initial_parameters(library):
    """Copies begin differently, stitches with their option, and codes of a choice near the middle of the step."""
    made = {}
    for name in ("mmoe", "cross_stitch", "dselect_k"):
        network = open_framework(library).network(network_of(ALL[name]), {"input": (6,)}, NAMES)
        made.update({key.removeprefix(PARAMETERS): array for key, array in network.parameter_arrays().items()})

    assert not np.array_equal(made["trunk.experts.0.output.weight"], made["trunk.experts.1.output.weight"])
    np.testing.assert_allclose(made["trunk.stitches.0.train.weight"], [[0.7], [0.3]], rtol=1e-6)
    np.testing.assert_allclose(made["trunk.stitches.1.b.weight"], [[0.3], [0.7]], rtol=1e-6)
    assert 0 < np.abs(made["trunk.gates.b.code"]).max() <= 0.01


TWO = (Objective("train", "", "softmax_ce", 0.5, ()), Objective("b", "", "l2", 3.0, ()))


def batches():
    """Batches with a class and a number for each sample; some have fewer rows than a group has ranks."""
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


def replica_on(group, network, library, weighting="pcgrad"):
    """A replica of a network with two objectives, by a method on gradients."""
    made = open_framework(library)
    learner = made.learner(network, {"input": suite.IMAGE}, TWO, LearnerSettings(suite.PLAIN_SGD, seed=3))
    strategy = open_strategy(StrategySettings("mpi"), learner, made, group)
    method = make_method(weighting, {}, WeightingSetup(objectives=NAMES, seed=11))
    replica = Replica(learner, strategy, StepGradients(method, TWO, 2))
    replica.synchronise()
    return replica


def trained(group, name, library):
    """The state of a replica after training, and in its middle."""
    replica = replica_on(group, network_of(ALL[name]), library)
    states = []
    for number, batch in enumerate(batches()):
        replica.step(suite.dealt(batch, group.rank, group.size), 0.05, number)
        states.append(replica.state())
    assert_same_bits(group, {key: array for key, array in states[-1].items() if key.startswith(PARAMETERS)})
    replica.close()
    return states[-1], states[2]


@pytest.mark.parametrize(
    ("name", "library"),
    [*((name, "torch") for name in ALL), *((name, "gluon") for name in ("ple", "channels", "mtan", "chosen_by_input"))],
)
def test_a_group_trains_as_one_rank_does(name, library):
    """Parameters are those of one rank, by a method that compares gradients, and another replica goes on from them."""
    one, _ = run_ranks(1, trained, name, library)[0]
    many, middle = run_ranks(3, trained, name, library)[0]

    def resumed(group):
        replica = replica_on(group, network_of(ALL[name]), library)
        replica.load_state(middle)
        for number, batch in list(enumerate(batches()))[3:]:
            replica.step(suite.dealt(batch, group.rank, group.size), 0.05, number)
        return replica.state()

    again = run_ranks(3, resumed)[0]

    assert one.keys() == many.keys()
    assert suite.largest_difference(many, one) < 2e-5
    assert all(np.array_equal(again[key], array) for key, array in many.items())


SHARED = {
    "mmoe": ["experts"],
    "cgc": ["levels.0.shared"],
    "ple": ["levels.0.shared", "levels.0.own", "levels.0.gates.shared", "levels.1.shared"],
    "cross_stitch": ["towers", "stitches.0"],
    "mtan": ["shared"],
    "dselect_k": ["experts"],
}


@pytest.mark.parametrize("library", ["torch", "gluon"])
@pytest.mark.parametrize("name", SHARED)
def test_shared_parameters(name, library):
    """Shared are the parameters that both heads depend on, whose gradients methods by gradients combine."""
    network = network_of(ALL[name])
    learner = open_framework(library).learner(network, {"input": suite.IMAGE}, TWO, LearnerSettings(suite.PLAIN_SGD))
    batch = batches()[0]
    width = sum(array.size for array in learner.gradients().values())
    list(learner.backward_each(batch, [1.0, 1.0], 1.0, np.zeros((2, width), np.float32)))
    private = set(learner.views("private_gradients"))
    shared = {each.removeprefix("trunk.") for each in learner.gradients() if each not in private}

    assert shared == {
        each.removeprefix("trunk.") for each in learner.gradients() if any(f"trunk.{p}." in each for p in SHARED[name])
    }


@pytest.mark.parametrize("library", ["torch", "gluon"])
def test_steps_are_those_of_a_plain_loop(library):
    """Three ranks with a mixture of experts and PCGrad make the steps of a loop that is written out with autograd."""

    def made(group):
        replica = replica_on(group, network_of(ALL["mmoe"]), library)
        before = replica.learner.parameters_matching("*")
        for number, batch in enumerate(batches()):
            replica.step(suite.dealt(batch, group.rank, group.size), 0.05, number)
        after = replica.learner.parameters_matching("*")
        replica.close()
        return before, after

    before, after = run_ranks(3, made)[0]
    values = {name: torch.tensor(array, dtype=torch.float64, requires_grad=True) for name, array in before.items()}
    for batch in batches():
        found = plain_gradients(values, batch)
        with torch.no_grad():
            for name, parameter in values.items():
                parameter.sub_(0.05 * (found[name] + suite.PLAIN_SGD.weight_decay * parameter))

    for name, array in after.items():
        np.testing.assert_allclose(array, values[name].detach().numpy(), rtol=1e-4, atol=2e-6, err_msg=name)


def plain_gradients(values, batch):
    """The gradients of a step: of experts those of each objective without its part against the other's, summed."""
    x = torch.from_numpy(batch.inputs["input"]).double().flatten(1)
    experts = []
    for number in range(3):
        name = f"trunk.experts.{number}"
        hidden = torch.tanh(x @ values[f"{name}.body.1.weight"].T + values[f"{name}.body.1.bias"])
        experts.append(hidden @ values[f"{name}.output.weight"].T + values[f"{name}.output.bias"])
    losses = []
    for head, target in zip(NAMES, batch.targets, strict=True):
        weights = torch.softmax(x @ values[f"trunk.gates.{head}.input.weight"].T, dim=1)
        code = sum(weights[:, [number]] * each for number, each in enumerate(experts))
        output = code @ values[f"heads.{head}.output.weight"].T + values[f"heads.{head}.output.bias"]
        if head == "train":
            each = torch.nn.functional.cross_entropy(output, torch.from_numpy(target).long(), reduction="none")
        else:
            each = ((output - torch.from_numpy(target)) ** 2).mean(dim=1) / 2
        losses.append((each * torch.from_numpy(batch.weights)).sum() / batch.global_samples)
    shared = [name for name in values if "experts" in name]
    rows = [
        dict(
            zip(
                values,
                torch.autograd.grad(
                    loss * objective.weight, list(values.values()), retain_graph=True, allow_unused=True
                ),
                strict=True,
            )
        )
        for loss, objective in zip(losses, TWO, strict=True)
    ]
    flat = [torch.cat([row[name].flatten() for name in shared]) for row in rows]
    product = flat[0] @ flat[1]
    factors = [1 - (product / (each @ each) if product < 0 else 0) for each in flat]
    found = {}
    for name in values:
        parts = [(row[name], factor) for row, factor in zip(rows, factors, strict=True) if row[name] is not None]
        found[name] = sum(part * (factor if name in shared else 1) for part, factor in parts)
    return found


def test_a_part_that_does_not_exist():
    """Codes of heads are parts that can be stored; another name is refused."""
    made = open_framework("torch").network(network_of(ALL["mmoe"]), {"input": (6,)}, NAMES)

    with pytest.raises(InputError, match="no module 'code'"):
        made.outputs(rows_of({"input": (6,)}), "trunk.code.b")
