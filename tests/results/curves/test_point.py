"""Points of curves as JSON."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpcmtl.results.curves.point import TrainingPoint, from_fields, to_fields
from hpcmtl.results.strict_json import to_json

numbers = st.floats(allow_nan=False, allow_infinity=False)
names = st.dictionaries(st.text(max_size=5), numbers, max_size=3)
points = st.builds(
    TrainingPoint,
    step=st.integers(1, 10**9),
    epoch=st.integers(0, 100),
    at=numbers,
    ends_epoch=st.booleans(),
    losses=names,
    metrics=st.dictionaries(st.text(max_size=5), numbers | st.none(), max_size=3),
    gradient_norm=numbers | st.none(),
    weights=names,
)


@given(points)
def test_a_point_comes_back_from_json(point):
    """A point that is written is read back, and fields with their defaults take no room."""
    text = to_json(to_fields(point))

    assert from_fields(json.loads(text)) == point
    assert to_json(to_fields(TrainingPoint(step=3))) == '{"step": 3}'


def test_fields_of_a_newer_version_are_ignored():
    """A file of a newer version can be read; without a step there is no point."""
    assert from_fields({"step": 2, "colour": "red"}) == TrainingPoint(step=2)
    with pytest.raises(TypeError, match="step"):
        from_fields({"epoch": 2})
