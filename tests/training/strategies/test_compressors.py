"""Compressors change gradients by their rounding alone, on numpy views and on MXNet arrays alike."""

from __future__ import annotations

import numpy as np
import pytest

from hpcmtl.training.gluon.compat import import_mxnet
from hpcmtl.training.gluon.compression import Fp16Halves
from hpcmtl.training.strategies.compressors import Fp16Compressor, NoCompression

mx = import_mxnet()


@pytest.mark.parametrize("native", [False, True])
def test_fp16_rounds(native):
    """A compressed value is rounded to float16; one that is too large becomes infinite."""
    values = np.array([0.1, -3.3333, 1e-3, 7e4], np.float32)
    gradient = mx.nd.array(values) if native else values.copy()
    compressor = Fp16Halves() if native else Fp16Compressor()
    compressed = compressor.compress([gradient])
    compressor.decompress(compressed, [gradient])
    made = gradient.asnumpy() if native else gradient

    with np.errstate(over="ignore"):
        expected = values.astype(np.float16).astype(np.float32)
    assert [str(np.dtype(each.dtype)) for each in compressed] == ["float16"]
    assert np.array_equal(made, expected)
    assert np.isinf(made[3])
    assert compressor.scales_loss


def test_no_compression_aggregates_the_gradients_themselves():
    """No copy is made, and nothing is scaled."""
    gradient = np.ones(3, np.float32)
    compressor = NoCompression()

    assert compressor.compress([gradient])[0] is gradient
    assert (compressor.scales_loss, compressor.state()) == (False, {})
