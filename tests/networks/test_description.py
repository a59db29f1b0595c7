"""Sizes of networks for predictions: counted by hand."""

from __future__ import annotations

import pytest

from hpcmtl.networks.description import Leaf, Part, Shared, input_values, objective_shapes, size_of
from hpcmtl.networks.input_values import FLOATS, InputValues
from hpcmtl.networks.models import ConvAutoencoder, ConvNet, EmbeddingRnn, Mlp, UserModel
from hpcmtl.networks.shapes import NetworkSize, ShapeError

MLP = Mlp(widths=(5,), outputs=3)
CONVNET = ConvNet(channels=(2,), widths=(5,), outputs=3)
RNN = EmbeddingRnn(vocabulary=7, embedding=3, hidden=5, outputs=2)
IDS = UserModel(name="own_blocks:Lookup", input_type="integer")
CODER = ConvAutoencoder(channels=(2, 4), code=3)


@pytest.mark.parametrize(
    ("network", "sample", "size"),
    [
        (Leaf(MLP), (4,), (4 * 5 + 5 + 5 * 3 + 3, 4 * 5 + 5 * 3)),
        (Part(Leaf(MLP), "body"), (4,), (4 * 5 + 5, 4 * 5)),
        (Leaf(CONVNET), (1, 4, 4), (18 + 2 + 8 * 5 + 5 + 15 + 3, 18 * 16 + 8 * 5 + 15)),
        (Part(Leaf(CONVNET), "body"), (1, 4, 4), (18 + 2 + 8 * 5 + 5, 18 * 16 + 8 * 5)),
        (Part(Leaf(CODER), "encoder"), (1, 4, 4), (18 + 2 + 72 + 4 + 4 * 3 + 3, 18 * 16 + 72 * 4 + 4 * 3)),
        # Three gates of 5 units, with weights of 3 inputs and 5 states and two biases each, at each of 4 tokens.
        (Leaf(RNN), (4,), (7 * 3 + 3 * 5 * (3 + 5 + 2) + 10 + 2, 4 * 3 * 5 * (3 + 5) + 10)),
        (Part(Leaf(RNN), "body"), (4,), (7 * 3 + 3 * 5 * (3 + 5 + 2), 4 * 3 * 5 * (3 + 5))),
        # Back from the code: dense to 4 channels of 1 x 1, 4 to 2 channels at 2 x 2, 2 to 1 at 4 x 4.
        (Leaf(CODER), (1, 4, 4), (111 + 12 + 4 + 72 + 2 + 18 + 1, 588 + 12 + 72 * 4 + 18 * 16)),
    ],
)
def test_counted_by_hand(network: Leaf | Part, sample: tuple[int, ...], size: tuple[int, int]) -> None:
    """Parameters and multiplications are those of the layers, one by one."""
    assert size_of(network, {"input": sample}) == NetworkSize(*size)


def test_heads_add_to_their_trunk() -> None:
    """A shared network is its trunk's part and its heads; that it is a part of is itself."""
    trunk = Part(Leaf(CODER), "encoder")
    shared = Shared(trunk, (("a", Leaf(MLP)), ("b", Leaf(MLP))))

    assert size_of(shared, {"input": (1, 4, 4)}) == size_of(trunk, {"input": (1, 4, 4)}).plus(
        *[size_of(Leaf(MLP), {"input": (3,)})] * 2
    )
    assert size_of(Part(shared, "trunk"), {"input": (1, 4, 4)}) == size_of(trunk, {"input": (1, 4, 4)})


def test_the_size_of_a_users_network_is_not_guessed() -> None:
    """Only building shows it, so that no tied parameter can be counted twice; heads behind it are unknown as well."""
    own = Leaf(UserModel(name="own_blocks:tied"))
    on_own = Shared(Part(own, "neck"), (("a", Leaf(MLP)),))

    assert size_of(own, {"input": (4,)}) == NetworkSize(0, 0)
    assert size_of(on_own, {"input": (4,)}) == NetworkSize(0, 0)
    assert size_of(Shared(Leaf(MLP), (("a", own),)), {"input": (4,)}) == size_of(Leaf(MLP), {"input": (4,)})


@pytest.mark.parametrize(
    ("network", "values"),
    [
        (Leaf(MLP), FLOATS),
        (Leaf(UserModel(name="own_blocks:tied")), FLOATS),
        (Leaf(IDS), InputValues(integers=True)),
        (Leaf(RNN), InputValues(integers=True, below=7)),
        (Shared(Part(Leaf(RNN), "body"), (("a", Leaf(MLP)),)), InputValues(integers=True, below=7)),
    ],
)
def test_a_network_says_which_values_it_takes(network, values) -> None:
    """Models of the zoo, users' networks that ask for integers, and networks whose trunk is one of these."""
    assert input_values(network) == values


@pytest.mark.parametrize("head", [RNN, IDS])
def test_a_head_for_integers_is_refused(head) -> None:
    """A trunk puts out floats, which no head can take for tokens or ids."""
    with pytest.raises(ShapeError, match="the head ids takes integers, but a trunk puts out floats"):
        objective_shapes(Shared(Leaf(MLP), (("a", Leaf(MLP)), ("ids", Leaf(head)))), {"input": (4,)})
