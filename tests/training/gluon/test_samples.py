"""Integer samples reach a Gluon network as int64."""

from __future__ import annotations

import integer_suite
import numpy as np
import pytest

from hpcmtl.errors import InputError
from hpcmtl.networks.input_values import FLOATS, InputValues
from hpcmtl.training.frameworks import open_framework
from hpcmtl.training.gluon.compat import import_mxnet
from hpcmtl.training.gluon.samples import samples_of

mx = import_mxnet()


def test_large_ids():
    """Ids above 2^24 choose their own rows of an embedding."""
    integer_suite.check_large_ids(open_framework("gluon"), "own_blocks:Lookup")


def test_types_of_samples():
    """Integers stay exact for a network that takes them, and floats are refused; others get float32."""
    ids = np.array([[2**62 + 1]])

    assert samples_of({"input": ids}, {"input": InputValues(integers=True)})[0].asnumpy().item() == 2**62 + 1
    assert samples_of({"input": ids}, {"input": FLOATS})[0].dtype == np.float32
    with pytest.raises(InputError, match="has values of type float64; the network takes integers"):
        samples_of({"input": ids / 2}, {"input": InputValues(integers=True)})


def test_plain_mxnet_merges_large_ids_as_floats():
    """Plain MXNet takes one row for two ids as float32, and both rows as int64: the reason for integers."""
    table = mx.nd.arange(2**24 + 4, dtype="float64").reshape((-1, 1)) - 2**24
    rows = {
        dtype: mx.nd.Embedding(
            mx.nd.array([2**24, 2**24 + 1], dtype=dtype), table, input_dim=2**24 + 4, output_dim=1, dtype="float64"
        )
        .asnumpy()
        .ravel()
        .tolist()
        for dtype in ("float32", "int64")
    }

    assert rows == {"float32": [0, 0], "int64": [0, 1]}
