"""Parts of a network by attribute and by child, and what is stored of them."""

from __future__ import annotations

import numpy as np
import pytest

from hpcmtl.errors import InputError
from hpcmtl.networks.description import Leaf
from hpcmtl.networks.models import UserModel
from hpcmtl.training.gluon.compat import import_mxnet
from hpcmtl.training.gluon.network import GluonNetwork
from hpcmtl.training.gluon.parts import part_of

mx = import_mxnet()
SAMPLES = np.random.default_rng(0).normal(size=(5, 1, 6, 6)).astype(np.float32)


def network(name):
    """A network of the tests."""
    return GluonNetwork(Leaf(UserModel(name=f"own_blocks:{name}")), {"input": (1, 6, 6)}, ["main"], seed=0)


@pytest.mark.parametrize(("part", "layers"), [("0", 1), ("0.0", 0), ("0.1", 0), ("0.2", 0), ("1", 2), ("2", 3)])
def test_a_part_is_stored_as_it_is_inside_of_the_network(part, layers):
    """A child behind others gets what these put out, as in plain Gluon, and not the input of the network."""
    made = network("deep")
    inner = made.block[0]
    expected = mx.nd.array(SAMPLES)
    for layer in [made.block[number] for number in range(layers)] or [inner[n] for n in range(int(part[-1]) + 1)]:
        expected = layer(expected)

    assert np.array_equal(made.outputs({"input": SAMPLES}, part)["values"], expected.asnumpy())


def test_a_part_follows_the_parameters():
    """The output of a part is that of the parameters that were loaded after the part was first asked for."""
    made = network("deep")
    before = made.outputs({"input": SAMPLES}, "1")["values"]
    made.load_parameters({name: array * 2 for name, array in made.parameter_arrays().items()})

    assert np.abs(made.outputs({"input": SAMPLES}, "1")["values"] - before).max() > 0.1


@pytest.mark.parametrize(
    ("part", "words"),
    [("7", "HybridSequential has no block '7'; valid here: 0, 1, 2"), ("0.9", "no block '9'"), ("1.x", "no block 'x'")],
)
def test_a_part_that_is_not_there(part, words):
    """The message names the block and the parts that it has."""
    with pytest.raises(InputError, match=words):
        part_of(network("deep").block, part)


def test_a_part_that_runs_twice():
    """Its output has two values: it cannot be stored."""
    with pytest.raises(InputError, match="runs 2 times"):
        network("Twice").outputs({"input": SAMPLES}, "layer")
