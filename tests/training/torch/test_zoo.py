"""Models of the zoo are one thing in both frameworks: same names, same outputs from the same parameters."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hpcmtl.errors import InputError
from hpcmtl.exchange.store import PARAMETERS
from hpcmtl.networks.description import Leaf, Part, Shared
from hpcmtl.networks.fusion import Fusion
from hpcmtl.networks.models import ConvAutoencoder, ConvNet, EmbeddingRnn, Mlp, UserModel
from hpcmtl.training.frameworks import open_framework

pytest.importorskip("torch")

few = st.integers(1, 5)
widths = st.lists(few, max_size=3).map(tuple)
channels = st.lists(few, min_size=1, max_size=3).map(tuple)
kernels = st.sampled_from([1, 3, 5])
dropouts = st.sampled_from([0.0, 0.5])
images = st.tuples(few, st.integers(1, 13), st.integers(1, 13)).filter(lambda sample: sample[:2] != (5, 5))
activations = st.sampled_from(["relu", "tanh", "sigmoid"])
mlps = st.builds(Mlp, widths=widths, outputs=few, dropout=dropouts, activation=activations)
convnets = st.builds(ConvNet, channels=channels, kernel=kernels, widths=widths, outputs=few, dropout=dropouts)
autoencoders = st.builds(ConvAutoencoder, channels=channels, kernel=kernels, code=few)


recurrent = {
    "vocabulary": st.integers(2, 5),
    "embedding": few,
    "hidden": few,
    "cell": st.sampled_from(["gru", "lstm"]),
    "pooling": st.sampled_from(["mean", "last"]),
    "outputs": few,
}
rnns = st.builds(EmbeddingRnn, per_token=st.booleans(), **recurrent)
one_vector = st.builds(EmbeddingRnn, **recurrent)
encoders = st.fixed_dictionaries({"image": convnets, "word": one_vector, "table": mlps})
fusions = st.builds(Fusion, encoders=encoders, widths=widths, outputs=few, activation=activations, dropout=dropouts)


def same_outputs(network, samples, names, parts, vocabulary=None) -> None:
    """A network of one framework with the parameters of the other puts out the same, and so do its parts.

    Rows of words, and the only input of a network with a vocabulary, are tokens.
    """
    rng = np.random.default_rng(0)
    samples = samples if isinstance(samples, dict) else {"input": samples}
    inputs = {name: rng.normal(size=(3, *shape)).astype(np.float32) for name, shape in samples.items()}
    for name in inputs if vocabulary is not None else ():
        if name in {"input", "word"}:
            inputs[name] = rng.integers(0, vocabulary, (3, *samples[name]))
    gluon, torch = (open_framework(name).network(network, samples, names) for name in ("gluon", "torch"))
    state = {name: rng.normal(size=a.shape).astype(np.float32) / 3 for name, a in gluon.parameter_arrays().items()}
    gluon.load_parameters(state)
    torch.load_parameters(state)

    assert list(torch.parameter_arrays()) == list(gluon.parameter_arrays())
    for part in (None, *parts):
        expected = gluon.outputs(inputs, part)
        for name, array in torch.outputs(inputs, part).items():
            np.testing.assert_allclose(
                array, expected[name], rtol=1e-5, atol=1e-5 * max(1, np.abs(expected[name]).max())
            )


@settings(max_examples=min(40, settings.default.max_examples), deadline=None)
@given(st.one_of(mlps, convnets, autoencoders), images)
def test_models(model, sample):
    """Any model of the zoo is the same function in both frameworks, whole and by parts."""
    same_outputs(Leaf(model), sample, ("main",), model.parts)


@settings(max_examples=min(20, settings.default.max_examples), deadline=None)
@given(rnns, st.integers(1, 6))
def test_recurrent_models(model, length):
    """Any recurrent model is the same function of tokens in both frameworks, padding between them included."""
    same_outputs(Leaf(model), (length,), ("main",), model.parts, model.vocabulary)


@settings(max_examples=min(20, settings.default.max_examples), deadline=None)
@given(fusions, images, st.integers(1, 6))
def test_models_of_several_inputs(model, image, length):
    """Any model of several inputs is the same function in both frameworks; the order of the samples is free."""
    samples = {"word": (length,), "image": image, "table": (4,)}
    same_outputs(Leaf(model), {n: samples[n] for n in sorted(samples)}, ("main",), model.parts, vocabulary=2)
    shared = Shared(Part(Leaf(model), "body"), (("a", Leaf(Mlp(outputs=2))),))
    same_outputs(shared, samples, ("a",), ("trunk",), vocabulary=2)


def test_shared_networks():
    """A trunk with heads has the same names, also where a head is called as a method of modules."""
    trunk = Part(Leaf(ConvAutoencoder(channels=(3,), code=4)), "encoder")
    heads = (("train", Leaf(Mlp(widths=(3,), outputs=2))), ("type", Leaf(Mlp(outputs=1))))

    same_outputs(Shared(trunk, heads), (1, 6, 6), ("train", "type"), ("trunk", "heads.type"))


def test_a_head_that_writes_over_its_input():
    """The next head would get what the first one left, in training and in inference; the last one may do so."""
    own = ("own", Leaf(UserModel(name="own_modules:overwriting")))
    dense = ("dense", Leaf(Mlp(outputs=1)))
    torch = open_framework("torch")

    with pytest.raises(InputError, match="Sequential writes over its input, which other heads"):
        torch.network(Shared(Leaf(Mlp(outputs=6)), (own, dense)), {"input": (4,)}, ("own", "dense"))
    torch.network(Shared(Leaf(Mlp(outputs=6)), (dense, own)), {"input": (4,)}, ("dense", "own"))


def test_networks_of_tokens():
    """Dense layers for each token by itself are one function in both frameworks, alone and on a trunk of tokens."""
    trunk = Part(Leaf(EmbeddingRnn(vocabulary=5, embedding=2, hidden=3, per_token=True, outputs=2)), "body")
    heads = (("a", Leaf(Mlp(widths=(4, 3), outputs=2, per_token=True))), ("b", Leaf(Mlp(outputs=1, per_token=True))))

    same_outputs(heads[0][1], (6, 3), ("main",), ("body",))
    same_outputs(Shared(trunk, heads), (6,), ("a", "b"), ("trunk", "heads.a"), 5)


def test_initial_parameters_have_the_same_distribution():
    """Weights of both frameworks begin uniform between the same bounds, with biases of 0."""
    found = {}
    for name in ("gluon", "torch"):
        state = (
            open_framework(name)
            .network(Leaf(Mlp(widths=(400,), outputs=300)), {"input": (200,)}, ("main",))
            .parameter_arrays()
        )
        weight, bias = state[f"{PARAMETERS}body.1.weight"], state[f"{PARAMETERS}body.1.bias"]
        found[name] = [weight.min(), weight.max(), weight.std(), np.abs(bias).max()]

    np.testing.assert_allclose(found["torch"], found["gluon"], rtol=0.02, atol=1e-3)
