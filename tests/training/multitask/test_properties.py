"""Properties of weightings by gradients, for any Gramian: finite, without conflict, independent of order and scale."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from weighting_steps import OF_GRAMIANS, made, weights_for

from hpcmtl.training.multitask.shards.graddrop import coordinate_numbers
from hpcmtl.training.multitask.weighting import ObjectiveMeasurements

FEWER = settings(max_examples=min(30, settings().max_examples))  # of each of many methods
ENTRY = st.integers(-8, 8).map(float)


@st.composite
def gradients(draw, least=1, most=6):
    """Rows of gradients: dependent, equal, opposite and zero rows are frequent, and norms may be far apart."""
    count, width = draw(st.integers(least, most)), draw(st.integers(1, 7))
    rows = np.array([[draw(ENTRY) for _ in range(width)] for _ in range(count)])
    scales = np.array([10.0 ** draw(st.integers(-4, 4)) for _ in range(count)])
    return rows * scales[:, None]


def update(name, rows, **options):
    """The update that the weights of a method make of rows."""
    return weights_for(name, rows @ rows.T, **options) @ rows


@pytest.mark.parametrize("name", OF_GRAMIANS)
@FEWER
@given(rows=gradients(), power=st.sampled_from([-150, -20, 0, 20, 150]))
def test_weights_are_finite(name, rows, power):
    """Weights are finite numbers for singular, zero, huge and tiny Gramians, and for one objective, in two steps."""
    weighting = made(name, len(rows)).weighting
    gramian = (rows @ rows.T) * 10.0**power
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = [weighting.weights(ObjectiveMeasurements(gramian=gramian)) for _ in range(2)]

    assert np.isfinite(found).all()
    assert np.shape(found) == (2, len(rows))


@pytest.mark.parametrize("name", ["upgrad", "dualproj", "mgda"])
@given(rows=gradients())
def test_no_loss_rises(name, rows):
    """The update has no negative product with the gradient of any objective, but for rounding."""
    weights = weights_for(name, rows @ rows.T)
    lengths = np.linalg.norm(rows, axis=1)

    assert (rows @ (weights @ rows) >= -1e-6 * lengths * (weights @ lengths)).all()


@pytest.mark.parametrize("name", sorted(set(OF_GRAMIANS) - {"pcgrad", "gradvac"}))
@FEWER
@given(rows=gradients(2, 5), random=st.randoms(use_true_random=False))
def test_the_order_of_objectives_does_not_matter(name, rows, random):
    """Objectives in another order get the same update; those of PCGrad and GradVac depend on a random order."""
    order = list(range(len(rows)))
    random.shuffle(order)
    one, other = update(name, rows), update(name, rows[order])

    assert np.abs(one - other).max() <= 1e-4 * max(np.abs(one).max(), np.abs(rows).max() * 1e-3, 1e-300)


def well_posed(rows):
    """Tells whether the directions of the rows are far from dependent."""
    lengths = np.linalg.norm(rows, axis=1)
    if not lengths.all():
        return False
    units = rows / lengths[:, None]
    return len(rows) <= rows.shape[1] and np.linalg.svd(units, compute_uv=False)[-1] > 0.05


@pytest.mark.parametrize("name", ["nash_mtl", "imtl_g"])
@given(rows=gradients(2, 5).filter(well_posed), place=st.integers(0, 4), power=st.integers(-3, 3))
def test_the_scale_of_a_loss_does_not_matter(name, rows, place, power):
    """A loss in another unit gives the same direction of the update; of Nash-MTL, the same update."""
    scaled = rows.copy()
    scaled[place % len(rows)] *= 10.0**power
    one, other = update(name, rows), update(name, scaled)
    if name == "imtl_g":
        one, other = one / np.linalg.norm(one), other / np.linalg.norm(other)

    assert np.abs(one - other).max() <= 1e-6 * np.abs(one).max()


@given(rows=gradients(2, 2).filter(well_posed))
def test_two_objectives_of_upgrad_are_half_of_pcgrad(rows):
    """For two objectives the update of UPGrad is half that of PCGrad (Quinton and Rey, 2024)."""
    one, other = update("upgrad", rows), update("pcgrad", rows)

    assert np.abs(2 * one - other).max() <= 1e-6 * np.abs(rows).max()


@given(rows=gradients(3, 6), trim=st.integers(0, 1), first=st.integers(0, 1000), cut=st.integers(0, 7))
def test_shards_do_not_matter(rows, trim, first, cut):
    """Combiners and transforms give the same numbers for the whole matrix as for two shards of it, over two steps."""
    names = [("graddrop", {}), ("adatask", {}), ("trimmed_mean", {"trim": trim}), ("moco", {}), ("excess_mtl", {})]
    for name, options in names:
        whole, left, right = [made(name, len(rows), **options) for _ in range(3)]
        for _ in range(2):
            found = [
                each.combiner.combine(part, begin)
                if each.combiner is not None
                else each.transform.transform(part, np.ones(len(rows)))
                for each, part, begin in (
                    (whole, rows, first),
                    (left, rows[:, :cut], first),
                    (right, rows[:, cut:], first + len(rows[0, :cut])),
                )
            ]

            np.testing.assert_array_equal(found[0], np.concatenate(found[1:], axis=-1))


@given(first=st.integers(0, 10**6), count=st.integers(0, 50), cut=st.integers(0, 50))
def test_random_numbers_belong_to_coordinates(first, count, cut):
    """Numbers of a range of coordinates are those of its parts."""
    cut = min(cut, count)
    whole = coordinate_numbers(3, 5, first, count)
    parts = [coordinate_numbers(3, 5, first, cut), coordinate_numbers(3, 5, first + cut, count - cut)]

    np.testing.assert_array_equal(whole, np.concatenate(parts))
