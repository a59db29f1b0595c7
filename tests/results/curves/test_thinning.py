"""Fewer points of long curves."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpcmtl.results.curves.point import TrainingPoint
from hpcmtl.results.curves.thinning import thinned


@given(st.lists(st.integers(1, 50), min_size=1, max_size=80), st.integers(2, 20))
def test_the_mean_over_all_steps_stays(spans, most):
    """Merged points have the means over their steps: the mean over the whole curve is as before, and its end."""
    steps = np.cumsum(spans)
    points = [TrainingPoint(step=int(step), losses={"loss": float(step % 7)}) for step in steps]

    kept = thinned(points, most)

    assert len(kept) <= most
    assert kept[-1].step == points[-1].step
    shares = np.diff([0, *(point.step for point in kept)])
    mean = np.average([point.losses["loss"] for point in kept], weights=shares)
    assert mean == pytest.approx(np.average(steps % 7, weights=spans))


@given(st.integers(0, 90), st.integers(2, 20))
def test_ends_of_epochs_stay_what_was_measured(count, most):
    """Ends of epochs are left out, and never merged; the newest stays."""
    epochs = [TrainingPoint(step=step, ends_epoch=True, metrics={"m": step}) for step in range(1, count + 1)]

    kept = thinned(epochs, most)

    assert set(map(id, kept)) <= set(map(id, epochs))
    assert len(kept) <= most
    assert kept[-1:] == epochs[-1:]


def test_short_curves_stay_as_they_are():
    """Nothing happens to a curve below the bound; the end of an epoch comes after the point of its step."""
    points = [TrainingPoint(step=1), TrainingPoint(step=2), TrainingPoint(step=2, ends_epoch=True)]

    assert thinned(points) == points


def test_a_loss_that_one_point_lacks():
    """A loss without labelled samples between two points is that of the other point; a norm is the newer one."""
    one = TrainingPoint(step=2, losses={"a": 1.0}, gradient_norm=3.0)
    two = TrainingPoint(step=3, losses={"a": 4.0, "b": 5.0})
    three = TrainingPoint(step=9, losses={"b": 7.0})

    assert thinned([one, two, three], 2) == [
        TrainingPoint(step=3, losses={"a": 2.0, "b": 5.0}, gradient_norm=3.0),
        three,
    ]
