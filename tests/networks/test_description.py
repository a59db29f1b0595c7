"""Sizes of networks for predictions: counted by hand."""

from __future__ import annotations

import pytest

from hpcmtl.networks.description import Leaf, Part, Shared, size_of
from hpcmtl.networks.models import ConvAutoencoder, ConvNet, Mlp, NetworkSize, UserModel

MLP = Mlp(widths=(5,), outputs=3)
CONVNET = ConvNet(channels=(2,), widths=(5,), outputs=3)
CODER = ConvAutoencoder(channels=(2, 4), code=3)


@pytest.mark.parametrize(
    ("network", "sample", "size"),
    [
        (Leaf(MLP), (4,), (4 * 5 + 5 + 5 * 3 + 3, 4 * 5 + 5 * 3)),
        (Part(Leaf(MLP), "body"), (4,), (4 * 5 + 5, 4 * 5)),
        (Leaf(CONVNET), (1, 4, 4), (18 + 2 + 8 * 5 + 5 + 15 + 3, 18 * 16 + 8 * 5 + 15)),
        (Part(Leaf(CONVNET), "body"), (1, 4, 4), (18 + 2 + 8 * 5 + 5, 18 * 16 + 8 * 5)),
        (Part(Leaf(CODER), "encoder"), (1, 4, 4), (18 + 2 + 72 + 4 + 4 * 3 + 3, 18 * 16 + 72 * 4 + 4 * 3)),
        # Back from the code: dense to 4 channels of 1 x 1, 4 to 2 channels at 2 x 2, 2 to 1 at 4 x 4.
        (Leaf(CODER), (1, 4, 4), (111 + 12 + 4 + 72 + 2 + 18 + 1, 588 + 12 + 72 * 4 + 18 * 16)),
    ],
)
def test_counted_by_hand(network: Leaf | Part, sample: tuple[int, ...], size: tuple[int, int]) -> None:
    """Parameters and multiplications are those of the layers, one by one."""
    assert size_of(network, sample) == NetworkSize(*size)


def test_heads_add_to_their_trunk() -> None:
    """A shared network is its trunk's part and its heads; that it is a part of is itself."""
    trunk = Part(Leaf(CODER), "encoder")
    shared = Shared(trunk, (("a", Leaf(MLP)), ("b", Leaf(MLP))))

    assert size_of(shared, (1, 4, 4)) == size_of(trunk, (1, 4, 4)).plus(*[size_of(Leaf(MLP), (3,))] * 2)
    assert size_of(Part(shared, "trunk"), (1, 4, 4)) == size_of(trunk, (1, 4, 4))


def test_the_size_of_a_users_network_is_not_guessed() -> None:
    """Only building shows it, so that no tied parameter can be counted twice; heads behind it are unknown as well."""
    own = Leaf(UserModel(name="own_blocks:tied"))
    on_own = Shared(Part(own, "neck"), (("a", Leaf(MLP)),))

    assert size_of(own, (4,)) == NetworkSize(0, 0)
    assert size_of(on_own, (4,)) == NetworkSize(0, 0)
    assert size_of(Shared(Leaf(MLP), (("a", own),)), (4,)) == size_of(Leaf(MLP), (4,))
