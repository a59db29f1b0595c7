"""Shares of the values, read side by side, show what one pass shows."""

from __future__ import annotations

import numpy as np
import pytest
from plain_files import plain_arrays, write_plain

from hpcmtl.data.adopting.order import AdoptionOrder
from hpcmtl.data.adopting.plan import plan_adoption
from hpcmtl.data.adopting.survey import joined_surveys, survey
from hpcmtl.data.array_writer import checksum_of
from hpcmtl.data.sealing.recipe import make_recipe
from hpcmtl.data.value_summary import summarise
from hpcmtl.errors import InputError


def nothing(*_):
    """Takes what is reported."""


def plan_of(path, **missing):
    """Returns the plan of an adoption of all arrays."""
    arrays = {"x": "x", "y": "y", "z": "z"}
    order = AdoptionOrder(out=path, files=[str(path)], arrays=arrays, recipe=make_recipe({}), missing=missing)
    return plan_adoption(order, nothing)


@pytest.mark.parametrize("shares", [1, 2, 3, 50])
def test_the_number_of_shares_does_not_matter(plain, shares):
    """Checksums and summaries are those of the whole arrays, also with more shares than blocks."""
    plan = plan_of(plain)
    found = joined_surveys([survey(plan, share, shares, nothing) for share in range(shares)])

    for name, array in plain_arrays().items():
        assert found[name].checksum == checksum_of(array)
        assert found[name].size == array.nbytes
        expected = summarise(array)
        assert (found[name].summary.extremes, found[name].summary.merged) == (expected.extremes, expected.merged)
        assert (found[name].summary.fraction, found[name].summary.rounded) == (expected.fraction, expected.rounded)


@pytest.mark.parametrize("shares", [1, 3])
def test_shares_know_the_missing_values(tmp_path, shares):
    """Summaries without missing values are those of the whole arrays, in each share and joined."""
    arrays = plain_arrays()
    arrays["z"][[5, 410], 1] = np.nan
    arrays["y"][[7, 599]] = -1
    plan = plan_of(write_plain(tmp_path / "p.h5", arrays), y=-1, z="nan")
    found = joined_surveys([survey(plan, share, shares, nothing) for share in range(shares)])

    for name, number in (("y", -1.0), ("z", "nan")):
        summary, expected = found[name].summary.without(number), summarise(arrays[name], [number]).without(number)
        assert (summary.extremes, summary.partly) == (expected.extremes, expected.partly)
        assert (summary.absent, summary.not_finite) == (expected.absent, None)
        assert (summary.rounded, summary.merged) == (expected.rounded, expected.merged)


def test_the_first_problem_of_each_array_is_told(tmp_path):
    """Bad values in several shares are one problem for each array, that of the first sample."""
    arrays = plain_arrays()
    arrays["x"][[130, 500]] = np.nan
    arrays["z"][599] = np.inf
    plan = plan_of(write_plain(tmp_path / "p.h5", arrays))

    with pytest.raises(InputError) as refused:
        joined_surveys([survey(plan, share, 4, nothing) for share in range(4)])
    assert [each.message.partition(";")[0] for each in refused.value.problems] == [
        "sample 130 holds NaN",
        "sample 599 holds Inf",
    ]


def test_progress_ends_at_one(plain):
    """Each share reports how much of it is read, up to all of it."""
    told = []
    survey(plan_of(plain), 1, 2, lambda _stage, done: told.append(done))

    assert told == sorted(told)
    assert told[-1] == 1.0
