"""The recurrent model of the zoo is what the recurrent layers of Gluon make of the same parameters."""

from __future__ import annotations

import numpy as np
import pytest

from hpcmtl.networks.description import Leaf
from hpcmtl.networks.models import EmbeddingRnn
from hpcmtl.training.frameworks import open_framework
from hpcmtl.training.gluon.compat import import_mxnet

mx = import_mxnet()
TOKENS = np.array([[3, 1, 2, 0, 0], [4, 0, 0, 0, 0], [1, 2, 3, 4, 1]], np.uint8)
LAYERS = {"gru": mx.gluon.rnn.GRU, "lstm": mx.gluon.rnn.LSTM}


@pytest.mark.parametrize("cell", ["gru", "lstm"])
@pytest.mark.parametrize("pooling", ["mean", "last"])
def test_padding_does_not_count(cell, pooling):
    """Mean and last state are those of Gluon's layer on each sample without its padding."""
    model = EmbeddingRnn(vocabulary=5, embedding=3, hidden=4, cell=cell, pooling=pooling, outputs=2)
    network = open_framework("gluon").network(Leaf(model), {"input": (5,)}, ("main",))
    state = {name.removeprefix("parameters/body."): each for name, each in network.parameter_arrays().items()}
    plain = LAYERS[cell](4, layout="NTC", input_size=3)
    plain.initialize()
    for kind in ("weight", "bias"):
        for ours, theirs in (("ih", "i2h"), ("hh", "h2h")):
            values = mx.nd.array(state[f"rnn.{kind}_{ours}_l0"])
            plain.collect_params()[f"{plain.prefix}l0_{theirs}_{kind}"].set_data(values)
    wanted = []
    for row in TOKENS:
        states = plain(mx.nd.array(state["embedding.weight"][row[row != 0]][np.newaxis])).asnumpy()[0]
        wanted.append(states.mean(axis=0) if pooling == "mean" else states[-1])

    np.testing.assert_allclose(network.outputs({"input": TOKENS}, "body")["values"], wanted, rtol=1e-5, atol=1e-6)
