"""The recurrent model of the zoo is what plain PyTorch makes of packed sequences without their padding."""

from __future__ import annotations

import numpy as np
import pytest

from hpcmtl.networks.description import Leaf
from hpcmtl.networks.models import EmbeddingRnn
from hpcmtl.training.frameworks import open_framework

pytest.importorskip("torch")

from hpcmtl.training.torch.recurrent import nn, torch

TOKENS = np.array([[3, 1, 2, 0, 0], [4, 0, 0, 0, 0], [1, 2, 3, 4, 1]], np.uint8)


@pytest.mark.parametrize("cell", ["gru", "lstm"])
@pytest.mark.parametrize("pooling", ["mean", "last"])
def test_padding_does_not_count(cell, pooling):
    """Mean and last state are those of `pack_padded_sequence`; a sample of padding alone has the vector 0."""
    model = EmbeddingRnn(vocabulary=5, embedding=3, hidden=4, cell=cell, pooling=pooling, outputs=2)
    network = open_framework("torch").network(Leaf(model), {"input": (5,)}, ("main",))
    embedding, rnn = network.module.body.embedding, network.module.body.rnn
    lengths = torch.from_numpy((TOKENS != 0).sum(axis=1))
    with torch.no_grad():
        packed = nn.utils.rnn.pack_padded_sequence(
            embedding(torch.from_numpy(TOKENS).long()), lengths, batch_first=True, enforce_sorted=False
        )
        states, _ = nn.utils.rnn.pad_packed_sequence(rnn(packed)[0], batch_first=True)
    real = [each[:count] for each, count in zip(states, lengths, strict=True)]
    wanted = [each.mean(dim=0) if pooling == "mean" else each[-1] for each in real]
    found = network.outputs({"input": TOKENS}, "body")["values"]

    np.testing.assert_allclose(found, torch.stack(wanted).numpy(), rtol=1e-5, atol=1e-6)
    assert np.array_equal(network.outputs({"input": np.zeros((2, 5), np.int64)}, "body")["values"], np.zeros((2, 4)))
