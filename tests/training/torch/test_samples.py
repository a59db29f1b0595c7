"""Integer samples reach a PyTorch network as int64."""

from __future__ import annotations

import integer_suite
import numpy as np
import pytest

from hpcmtl.errors import InputError
from hpcmtl.networks.input_values import FLOATS, InputValues
from hpcmtl.training.frameworks import open_framework

pytest.importorskip("torch")

from hpcmtl.training.torch.samples import samples_of, torch


@pytest.mark.slow
def test_large_ids():
    """Ids above 2^24 choose their own rows of an embedding."""
    integer_suite.check_large_ids(open_framework("torch"), "own_modules:Lookup")


def test_types_of_samples():
    """Integers stay exact for a network that takes them, and floats are refused; others get float32."""
    ids = np.array([[2**62 + 1]])

    assert samples_of({"input": ids}, {"input": InputValues(integers=True)})["input"].item() == 2**62 + 1
    assert samples_of({"input": ids}, {"input": FLOATS})["input"].dtype == torch.float32
    with pytest.raises(InputError, match="has values of type float64; the network takes integers"):
        samples_of({"input": ids / 2}, {"input": InputValues(integers=True)})
