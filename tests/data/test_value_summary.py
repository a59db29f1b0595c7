"""Summaries of the parts of an array are joined to that of the whole."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpcmtl.data.value_summary import ValueSummary, joined, summarise


@given(st.integers(0, 40), st.sampled_from(["f4", "f8", "i8", "u1", "f2"]), st.integers(0, 2**32 - 1))
@pytest.mark.filterwarnings("ignore:overflow")
def test_two_parts(cut, dtype, seed):
    """Each fact is that of the whole array, with the first sample of its kind; a part may be empty."""
    rng = np.random.default_rng(seed)
    whole = (rng.normal(size=(40, 3)) * 10.0 ** rng.integers(0, 3)).astype(dtype)
    parts = [ValueSummary(dtype=whole.dtype, shape=(3,)) for _ in range(2)]
    parts[0].add(whole[:cut], 0)
    parts[1].add(whole[cut:], cut)
    found, expected = joined(*parts), summarise(whole)

    for fact in ("smallest", "largest", "fraction", "rounded", "not_finite", "merged"):
        assert getattr(found, fact) == getattr(expected, fact)
    if expected.spread is not None:
        assert all(np.array_equal(*pair) for pair in zip(found.spread, expected.spread, strict=True))
