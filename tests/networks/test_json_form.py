"""A description of a network that was written as JSON is read back as the same description."""

import json

import pytest

from hpcmtl.networks.description import Leaf, Part, Shared
from hpcmtl.networks.json_form import network_from_json, network_to_json, user_models
from hpcmtl.networks.models import ConvAutoencoder, ConvNet, EmbeddingRnn, Mlp, UserModel

OWN = Leaf(UserModel(name="nets:small", width=3, sizes=[1, 2]))
TRUNK = Part(Leaf(ConvAutoencoder(channels=(8, 4), code=24)), "encoder")
NETWORKS = [
    Leaf(Mlp(widths=(4, 2), outputs=3, activation="tanh", dropout=0.25)),
    Leaf(ConvNet(channels=(4,), kernel=5, outputs=3)),
    Leaf(EmbeddingRnn(vocabulary=30, embedding=4, hidden=5, cell="lstm", pooling="last", outputs=2)),
    OWN,
    Leaf(UserModel(name="nets:small", input_type="integer")),
    Shared(TRUNK, (("second", Leaf(Mlp(outputs=2))), ("first", OWN))),
    Shared(Part(Shared(TRUNK, (("only", OWN),)), "trunk"), (("again", OWN),)),
]


@pytest.mark.parametrize("network", NETWORKS)
def test_every_network_goes_round(network):
    """Models, their options, parts, and the order of heads survive."""
    assert network_from_json(json.loads(json.dumps(network_to_json(network)))) == network


def test_what_describes_no_network_is_refused():
    """The message has the keys that were found."""
    with pytest.raises(ValueError, match="found \\['layers'\\]"):
        network_from_json({"layers": 3})


def test_models_of_users_are_found():
    """Each once, wherever it is in the network."""
    assert [user_models(network) for network in NETWORKS] == [(), (), (), *[("nets:small",)] * 4]
