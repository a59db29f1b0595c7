"""The blocks of the zoo are what the job file's descriptions predict, and those of users are taken or refused."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from hpcmtl.errors import InputError
from hpcmtl.networks.description import Leaf, Part, Shared
from hpcmtl.networks.models import ConvAutoencoder, ConvNet, EmbeddingRnn, Mlp, UserModel
from hpcmtl.training.gluon.compat import import_mxnet
from hpcmtl.training.gluon.network import GluonNetwork
from hpcmtl.training.gluon.zoo import build

mx = import_mxnet()

few = st.integers(1, 5)
widths = st.lists(few, max_size=3).map(tuple)
channels = st.lists(few, min_size=1, max_size=3).map(tuple)
kernels = st.sampled_from([1, 3, 5])
dropouts = st.sampled_from([0.0, 0.5])
# Without those that look as if their channels came last, which are refused: see tests/networks/test_models.py.
images = st.tuples(few, st.integers(1, 13), st.integers(1, 13)).filter(lambda sample: sample[:2] != (5, 5))
mlps = st.builds(Mlp, widths=widths, outputs=few, dropout=dropouts, activation=st.sampled_from(["relu", "tanh"]))
convnets = st.builds(ConvNet, channels=channels, kernel=kernels, widths=widths, outputs=few, dropout=dropouts)
autoencoders = st.builds(ConvAutoencoder, channels=channels, kernel=kernels, code=few)


@settings(max_examples=min(40, settings.default.max_examples))
@given(st.one_of(mlps, convnets, autoencoders), images, st.integers(1, 3))
def test_shapes_and_parameters_are_as_predicted(model, sample, count):
    """Output shapes, those of every part and the number of parameters are what planning and checking reckon with."""
    network = GluonNetwork(Leaf(model), {"input": sample}, ["main"], seed=0)
    inputs = np.ones((count, *sample), np.float32)
    made = {part: network.outputs({"input": inputs}, part)["values"].shape for part in model.parts}
    parameters = sum(int(np.prod(array.shape)) for array in network.parameter_arrays().values())

    assert network.outputs({"input": inputs})["main"].shape == (count, *model.output_shape({"input": sample}))
    assert parameters == model.size({"input": sample}).parameters
    for part, shape in made.items():
        predicted = model.output_shape({"input": sample}, part)
        # A body of no layers at all leaves dense samples flat.
        assert shape == (count, *predicted)


@pytest.mark.parametrize("cell", ["gru", "lstm"])
def test_recurrent_models_are_as_predicted(cell):
    """Output shapes, that of the body, and the number of parameters of a model for rows of tokens."""
    model = EmbeddingRnn(vocabulary=7, embedding=3, hidden=5, cell=cell, outputs=2)
    network = GluonNetwork(Leaf(model), {"input": (4,)}, ["main"], seed=0)
    tokens = np.ones((3, 4), np.int64)
    sizes = {name: int(np.prod(array.shape)) for name, array in network.parameter_arrays().items()}

    assert network.outputs({"input": tokens})["main"].shape == (3, *model.output_shape({"input": (4,)}))
    assert network.outputs({"input": tokens}, "body")["values"].shape == (
        3,
        *model.output_shape({"input": (4,)}, "body"),
    )
    assert sum(sizes.values()) == model.size({"input": (4,)}).parameters
    assert (
        sum(size for name, size in sizes.items() if "/body." in name) == model.size({"input": (4,)}, "body").parameters
    )


@settings(max_examples=min(15, settings.default.max_examples))
@given(autoencoders, images, few, few)
def test_a_shared_trunk_gives_every_head_its_code(model, sample, one, other):
    """A trunk taken out of a network, with two heads on top: one output a head, and parameters under their names."""
    heads = (("left", Leaf(Mlp(outputs=one))), ("right", Leaf(Mlp(widths=(3,), outputs=other))))
    network = GluonNetwork(Shared(Part(Leaf(model), "encoder"), heads), {"input": sample}, ["left", "right"], seed=0)
    made = network.outputs({"input": np.ones((2, *sample), np.float32)})

    assert {name: array.shape for name, array in made.items()} == {"left": (2, one), "right": (2, other)}
    assert network.outputs({"input": np.ones((2, *sample), np.float32)}, "trunk")["values"].shape == (2, model.code)
    assert {name.split(".")[0] for name in network.parameters} == {"trunk", "heads"}
    assert {".".join(name.split(".")[:2]) for name in network.parameters if name.startswith("heads")} == {
        "heads.left",
        "heads.right",
    }


@pytest.mark.parametrize(("model", "size"), [(ConvNet, {"outputs": 2}), (ConvAutoencoder, {"code": 2})])
@pytest.mark.parametrize("kernel", [2, 4])
def test_even_kernels_are_refused(model, size, kernel):
    """A 'same' convolution needs an odd kernel; the job file says so before anything is built."""
    with pytest.raises(ValidationError, match=f"found {kernel}, write {kernel - 1} or {kernel + 1}"):
        model.model_validate({"channels": [4], "kernel": kernel, **size})


def test_the_same_seed_gives_the_same_parameters():
    """Whatever was drawn before; another seed gives others."""
    model, sample = Leaf(ConvNet(channels=(4,), outputs=2)), (1, 6, 6)
    one = GluonNetwork(model, {"input": sample}, ["main"], seed=4).parameter_arrays()
    mx.nd.random.uniform(shape=(17,))
    same = GluonNetwork(model, {"input": sample}, ["main"], seed=4).parameter_arrays()
    other = GluonNetwork(model, {"input": sample}, ["main"], seed=5).parameter_arrays()

    assert all(np.array_equal(one[name], same[name]) for name in one)
    assert not any(np.array_equal(one[name], other[name]) for name in one if name.endswith("weight"))


def test_a_model_of_the_users():
    """`package.module:attribute` with arguments is built, runs, and its parts and parameters have their own names."""
    model = UserModel(name="own_blocks:TwoParts", width=6, outputs=2)
    network = GluonNetwork(Leaf(model), {"input": (5,)}, ["main"], seed=0)
    inputs = np.ones((3, 5), np.float32)

    assert network.outputs({"input": inputs})["main"].shape == (3, 2)
    assert network.outputs({"input": inputs}, "neck")["values"].shape == (3, 6)
    assert {name: parameter.shape for name, parameter in network.parameters.items()} == {
        "neck.weight": (6, 5),
        "neck.bias": (6,),
        "head.weight": (2, 6),
        "head.bias": (2,),
    }


def test_a_part_of_a_users_model_as_trunk():
    """The width of a user's trunk is not known beforehand: it is found by running it."""
    trunk = Part(Leaf(UserModel(name="own_blocks:TwoParts", width=6)), "neck")
    network = GluonNetwork(Shared(trunk, (("a", Leaf(Mlp(outputs=2))),)), {"input": (5,)}, ["a"], seed=0)

    assert network.outputs({"input": np.ones((3, 5), np.float32)})["a"].shape == (3, 2)
    assert network.parameters["heads.a.output.weight"].shape == (2, 6)


@pytest.mark.parametrize(
    ("name", "arguments", "said"),
    [
        ("own_blocks:missing", {}, "cannot be imported"),
        ("no_such_module:Net", {}, "No module named 'no_such_module'"),
        ("own_blocks:TwoParts", {"depth": 3}, "cannot be built with {'depth': 3}"),
        ("own_blocks:not_a_block", {}, "makes a int, not a Gluon HybridBlock"),
        ("own_blocks:mx", {}, "cannot be built"),
    ],
)
def test_models_that_cannot_be_built_are_refused(name, arguments, said):
    """The message says what is wrong with a user's model."""
    with pytest.raises(InputError, match=said):
        build(Leaf(UserModel(name=name, **arguments)), {"input": (5,)})


def test_a_part_that_is_not_there_is_refused():
    """In a trunk as well as in an extraction."""
    whole = Leaf(UserModel(name="own_blocks:TwoParts"))
    network = GluonNetwork(whole, {"input": (5,)}, ["main"], seed=0)

    with pytest.raises(InputError, match="part knee: TwoParts has no block .knee.; did you mean .neck."):
        build(Part(whole, "knee"), {"input": (5,)})
    with pytest.raises(InputError, match="part knee: TwoParts has no block .knee.; did you mean .neck."):
        network.outputs({"input": np.ones((1, 5), np.float32)}, "knee")
