"""Gluon blocks get the inputs of a job by the names of their arguments, compiled and not."""

from __future__ import annotations

import numpy as np
import own_blocks
import pytest

from hpcmtl.errors import InputError
from hpcmtl.jobfile.kinds import FrameworkNeeds
from hpcmtl.networks.description import Leaf, Part, Shared
from hpcmtl.networks.models import Mlp, UserModel
from hpcmtl.training.frameworks import open_framework
from hpcmtl.training.gluon.compat import import_mxnet
from hpcmtl.training.gluon.input_order import input_order, number_of_inputs

mx = import_mxnet()
SAMPLES = {"image": (1, 6, 6), "table": (2,)}
HEAD = (("main", Leaf(Mlp(outputs=2))),)


@pytest.mark.parametrize(
    "network",
    [
        Leaf(UserModel(name="own_blocks:TableAndImage")),
        Part(Leaf(UserModel(name="own_blocks:after_two_inputs")), "0"),
        Shared(Leaf(UserModel(name="own_blocks:TableAndImage")), HEAD),
    ],
    ids=["block", "part", "trunk"],
)
def test_a_compiled_network_is_the_plain_block(network):
    """The order of the job, image first, is not that of the block; parameters of the block are no inputs."""
    generator = np.random.default_rng(0)
    rows = {name: generator.normal(size=(3, *shape)).astype(np.float32) for name, shape in SAMPLES.items()}
    made = open_framework("gluon").network(network, SAMPLES, ("main",))
    outputs = made.outputs(rows)["main"]
    made.block.hybridize(active=False)
    plain = made.block(mx.nd.array(rows["table"]), mx.nd.array(rows["image"]))
    plain = plain[0] if isinstance(plain, list) else plain

    assert list(made.values) == ["table", "image"]
    np.testing.assert_allclose(outputs, plain.asnumpy(), rtol=1e-6, atol=1e-6)


def test_an_argument_that_is_left_out():
    """Inputs at the end may be left out; one before another cannot, since MXNet takes arguments by their places."""
    block = own_blocks.MaskedTable()

    assert input_order(block, ("mask", "table")) == ("table", "mask")
    assert input_order(block, ("input",)) == ("input",)
    assert number_of_inputs(block) == 1
    assert number_of_inputs(own_blocks.TableAndImage()) == 2
    with pytest.raises(InputError, match="takes mask before image"):
        input_order(block, ("table", "image"))


def test_the_environment_is_chosen_by_all_inputs():
    """Networks of several inputs are traced before the run, as others are; wrong names are left to the checks."""
    for samples in (SAMPLES, {"tabel": (2,), "image": (1, 6, 6)}):
        needs = FrameworkNeeds(network=Leaf(UserModel(name="own_blocks:TableAndImage")), samples=samples)

        assert open_framework("gluon").prepare_environment({"net": needs}).reason == ""


def test_a_sequence_takes_one_input():
    """MXNet hands one input to a sequence, so that several are refused, whatever its first block takes."""
    network = Leaf(UserModel(name="own_blocks:after_two_inputs"))
    with pytest.raises(InputError, match="takes no input 'image'; valid here: x; it takes x"):
        open_framework("gluon").network(network, SAMPLES, ("main",))
