"""The loss scale halves, doubles and stays within its bounds; float16 changes gradients by its rounding alone."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from hpcmtl.communicators.inproc import run_ranks
from hpcmtl.training.gluon.compat import import_mxnet
from hpcmtl.training.gluon.compression import GROWTH_INTERVAL, Fp16Wire, LossScale, all_finite
from hpcmtl.training.gluon.engines.base import LocalEngine

mx = import_mxnet()


@given(st.lists(st.booleans(), max_size=60), st.integers(-14, 24))
def test_the_scale_follows_overflows(steps, exponent):
    """Halved by each overflow, a power of two within its bounds, and good steps are counted since the last change."""
    scale = LossScale(2.0**exponent)
    for finite in steps:
        before = scale
        scale = scale.after(finite)

        assert scale.value == (before.value if finite else max(before.value / 2, 2.0**-14))
        assert scale.good_steps == (before.good_steps + 1 if finite else 0)


def test_the_scale_grows_after_many_good_steps():
    """It doubles after a thousand of them, and no further than its bound."""
    almost = LossScale(8.0, GROWTH_INTERVAL - 1)
    at_bound = LossScale(2.0**24, GROWTH_INTERVAL - 1)

    assert almost.after(finite=True) == LossScale(16.0, 0)
    assert at_bound.after(finite=True) == LossScale(2.0**24, 0)


def test_the_wire_rounds_to_halves():
    """On one rank the mean by float16 is the gradient rounded; what is too large becomes infinite."""
    values = np.array([0.1, -3.3333, 1e-3, 7e4], np.float32)
    gradient = mx.nd.array(values)
    Fp16Wire([gradient]).mean(LocalEngine(), [gradient])

    with np.errstate(over="ignore"):
        expected = values.astype(np.float16).astype(np.float32)
    assert np.array_equal(gradient.asnumpy(), expected)
    assert np.isinf(gradient.asnumpy()[3])


def test_one_rank_that_is_not_finite_is_known_to_all():
    """All ranks give the same answer, though only one has an infinite gradient."""

    def answer(group, bad_rank):
        gradients = [mx.nd.ones((3,)), mx.nd.full((2,), np.inf if group.rank == bad_rank else 1.0)]
        return all_finite(gradients, group)

    assert run_ranks(3, answer, 1) == [False] * 3
    assert run_ranks(3, answer, 7) == [True] * 3
