"""The form of a step and its fit, on steps that were made by the form and on others."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpcmtl.layerplan.model.step_time_model import Shapes, StepParameters, fit, log_seconds, prior, uncertainty

TRUE = StepParameters(2e-3, 1e-4, 3e-4, 2e-3, 2e-3, 8e-3, 0.5)
GUESSED = StepParameters(1e-3, 3e-5, 1e-4, 1e-3, 1e-4, 1e-3, 0.1)
SPREAD = StepParameters(1, 1, 1, 1, 1, 1, 0.5)
BEFORE = prior(GUESSED, SPREAD)
BATCH, NODE = 256, 4


def shapes(*ranks: int) -> Shapes:
    """Steps of one batch on some numbers of ranks, four to a node."""
    count = np.array(ranks, dtype=np.float64)
    return Shapes(count, np.ceil(count / NODE), np.ceil(BATCH / count), np.ones(len(count)))


def test_a_rank_alone_has_nothing_to_combine() -> None:
    """On one rank a step is its fixed part and its rows."""
    assert np.exp(log_seconds(np.log(TRUE), shapes(1)))[0] == pytest.approx(2e-3 + 1e-4 * BATCH)


def test_computing_and_combining_overlap_between_their_sum_and_the_longer() -> None:
    """The last parameter leads from the one to the other."""
    parts = shapes(4)
    computing, combining = 2e-3 + 1e-4 * 64, 4 * 3e-4 + 1.5 * 2e-3
    none, much = (np.exp(log_seconds(np.log(TRUE._replace(overlap=g)), parts))[0] for g in (1e-9, 50.0))

    assert none == pytest.approx(computing + combining)
    assert much == pytest.approx(computing, rel=1e-3)


def test_the_network_between_nodes_is_another() -> None:
    """A group that spans nodes pays for the network between them."""
    inside = shapes(8)._replace(nodes=np.ones(1))

    assert log_seconds(np.log(TRUE), shapes(8)) > log_seconds(np.log(TRUE), inside)


def test_exact_measurements_are_met() -> None:
    """A fit to enough exact measurements predicts them, and widths in between, far better than the guess."""
    measured, between = shapes(1, 2, 4, 8, 16, 64), shapes(3, 12, 32)
    seconds = np.exp(log_seconds(np.log(TRUE), measured))
    after = fit(BEFORE, measured, seconds, np.full(6, 0.02))

    for some in (measured, between):
        assert log_seconds(after.mean, some) == pytest.approx(log_seconds(np.log(TRUE), some), abs=0.05)
        assert np.abs(log_seconds(BEFORE.mean, some) - log_seconds(np.log(TRUE), some)).min() > 0.2


def test_what_was_not_measured_stays_as_expected() -> None:
    """Steps on one rank say nothing of the network, and less is known of it than of them."""
    after = fit(BEFORE, shapes(1), np.array([0.05]), np.array([0.05]))
    before, now = uncertainty(BEFORE, shapes(1, 64)), uncertainty(after, shapes(1, 64))

    assert after.mean[2:] == pytest.approx(BEFORE.mean[2:])
    assert now[0] < 0.06 < before[0]
    assert now[1] > 4 * now[0]


@given(
    st.lists(st.tuples(st.sampled_from([1, 2, 3, 4, 6, 8, 64, 512]), st.floats(1e-5, 1e3)), min_size=1, max_size=12),
    st.floats(0.01, 1),
)
def test_any_measurements_give_a_finite_fit(found: list[tuple[int, float]], spread: float) -> None:
    """Whatever was measured, the fit is no worse than the guess, and its uncertainty is a number."""
    measured = shapes(*(ranks for ranks, _ in found))
    seconds = np.array([each for _, each in found])

    def misfit(mean: np.ndarray) -> float:
        rest = (log_seconds(mean, measured) - np.log(seconds)) / spread
        return float(rest @ rest + (((mean - BEFORE.mean) / np.array(SPREAD)) ** 2).sum())

    after = fit(BEFORE, measured, seconds, np.full(len(found), spread))
    sure = uncertainty(after, shapes(1, 2, 64, 4096))

    assert misfit(after.mean) <= misfit(BEFORE.mean) * (1 + 1e-9)
    assert np.all(np.isfinite(sure))
    assert np.all(sure > 0)
