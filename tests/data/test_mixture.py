"""Tests of hpcmtl.data.mixture: shares are those of the definitions, and steps have them."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpcmtl.data.mixed_epochs import mixed_bounds, sets_of_rows
from hpcmtl.data.mixture import Mixture, UnfitMixtureError, epoch_rows, epoch_steps, largest_remainder, shares

RULES = ("proportional", "equal", "temperature", "annealed", "fixed", "round_robin")


def mixture(how, sizes, batch_size=16, **keys):
    """Make a mixture of sets that are named by letters."""
    return Mixture(how=how, names=tuple("abcdefgh"[: len(sizes)]), sizes=tuple(sizes), batch_size=batch_size, **keys)


@st.composite
def mixtures(draw):
    """Draw any mixture whose sets may be oversampled, so that it always has an epoch."""
    how = draw(st.sampled_from(RULES))
    sizes = draw(st.lists(st.integers(1, 300), min_size=1, max_size=5))
    each = tuple(draw(st.integers(1, 12)) for _ in sizes) if how in {"fixed", "round_robin"} else ()
    batch = sum(each) if how == "fixed" else max(each, default=draw(st.integers(1, 40)))
    return mixture(
        how,
        sizes,
        batch,
        batch_sizes=each,
        temperature=draw(st.floats(1, 20)),
        epochs=draw(st.integers(1, 6)),
        steps=draw(st.none() | st.integers(1, 20)),
        oversample=True,
    )


def test_shares_are_those_of_the_definitions():
    """Shares follow n, 1, n^(1/T) and, after Stickland and Murray, n^(1 - 0.8 (e - 1) / (E - 1)) with e from 1 to E."""
    sizes = np.array([1000.0, 100.0, 10.0])
    wanted = {
        "proportional": sizes,
        "equal": sizes**0,
        "temperature": sizes ** (1 / 4),
        "annealed": sizes ** (1 - 0.8 * (3 - 1) / (5 - 1)),
    }

    for how, weights in wanted.items():
        found = shares(mixture(how, [1000, 100, 10], temperature=4.0, epochs=5), 2)
        np.testing.assert_allclose(found, weights / weights.sum(), err_msg=how)
    np.testing.assert_allclose(shares(mixture("fixed", [9, 9], batch_sizes=(24, 8)), 0), [0.75, 0.25])


@given(mixtures(), st.integers(0, 5))
def test_an_epoch_has_the_rows_of_its_shares(mixed, epoch):
    """The rows of an epoch add up to its steps, and differ from the exact shares by less than one row."""
    bounds, rows, sets = mixed_bounds(mixed), epoch_rows(mixed, epoch), sets_of_rows(mixed, epoch)

    assert (np.diff(bounds) > 0).all()
    assert sum(rows) == len(sets) == bounds[-1]
    assert np.array_equal(np.bincount(sets, minlength=len(rows)), rows)
    if mixed.how != "round_robin":
        assert (np.abs(rows - bounds[-1] * np.array(shares(mixed, epoch))) < 1).all()


@given(mixtures(), st.integers(0, 5))
def test_each_step_has_the_shares(mixed, epoch):
    """A step differs from its shares by at most one row a set; a step of `round_robin` has one set in turn."""
    bounds, sets = mixed_bounds(mixed), sets_of_rows(mixed, epoch)
    count = len(mixed.sizes)
    steps = [np.bincount(each, minlength=count) for each in np.split(sets, bounds[1:-1])]

    for number, found in enumerate(steps):
        if mixed.how == "round_robin":
            assert found.tolist() == [mixed.batch_sizes[k] * (k == number % count) for k in range(count)]
        else:
            wanted = found.sum() * np.array(epoch_rows(mixed, epoch)) / bounds[-1]
            assert (np.abs(found - wanted) < max(count - 1, 1) + 1e-6).all()


def test_whole_shares_are_exact_in_each_step():
    """Batch sizes of 24, 6 and 2 rows, and equal shares of 12 rows, are those of each single step."""
    fixed = mixture("fixed", [240, 60, 30], 32, batch_sizes=(24, 6, 2))
    equal = mixture("equal", [50, 40, 400], 12)

    for mixed, wanted in ((fixed, [24, 6, 2]), (equal, [4, 4, 4])):
        steps = np.split(sets_of_rows(mixed, 0), mixed_bounds(mixed)[1:-1])
        assert len(steps) == 10
        assert all(np.bincount(each).tolist() == wanted for each in steps)


@given(mixtures())
def test_nothing_is_oversampled_unless_asked(mixed):
    """Without `oversample`, an epoch takes at most all rows of a set, or the mixture is refused by its name."""
    plain = dataclasses.replace(mixed, oversample=False)
    try:
        mixed_bounds(plain)
    except UnfitMixtureError:
        return

    for epoch in range(plain.epochs):
        assert all(np.array(epoch_rows(plain, epoch)) <= plain.sizes)


def test_epochs_without_a_number_of_steps():
    """An epoch is all rows, as long as the smallest set lasts, or with `oversample` as the largest one needs."""
    assert mixed_bounds(mixture("proportional", [40, 10]))[-1] == 50
    assert epoch_rows(mixture("equal", [40, 10], 4), 0) == [10, 10]
    assert epoch_rows(mixture("equal", [40, 10], 4, oversample=True), 0) == [40, 40]
    assert epoch_rows(mixture("round_robin", [40, 10], 4, batch_sizes=(8, 4)), 0) == [16, 8]


@pytest.mark.parametrize(
    ("mixed", "text"),
    [
        (mixture("equal", [400, 10], steps=9), "b has 10 train samples, but an epoch of 9 steps takes 72 of them"),
        (mixture("equal", [400, 3]), "b has 3 train samples, too few for one step of 16"),
        (mixture("round_robin", [9, 3], batch_sizes=(4, 4)), "b has 3 train samples, too few for one step of 4"),
        (mixture("round_robin", [9, 9], batch_sizes=(4, 4), steps=6), "a has 9 .* an epoch of 6 steps takes 12"),
    ],
)
def test_sets_that_are_too_small(mixed, text):
    """An epoch that a set cannot give is refused, with the set, its rows and the two ways out."""
    with pytest.raises(UnfitMixtureError, match=text) as caught:
        epoch_steps(mixed)

    assert "oversample: true" in str(caught.value)


@given(st.lists(st.floats(0.01, 50), min_size=1, max_size=6), st.integers(0, 300))
def test_the_largest_remainder(weights, total):
    """Whole numbers with the given sum, each next to the exact one."""
    exact = total * np.array(weights) / sum(weights)
    found = largest_remainder([each / sum(weights) for each in weights], total)

    assert sum(found) == total
    assert (np.abs(found - exact) < 1).all()
