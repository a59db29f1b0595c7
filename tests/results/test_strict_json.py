from __future__ import annotations

import dataclasses
import enum
import json
import math
from datetime import datetime, timezone
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpcmtl.results.strict_json import to_json

PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text() | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)


def refuse(constant):
    """Fail on what strict JSON does not have."""
    raise AssertionError(constant)


@given(PLAIN)
def test_plain_values_come_back(value):
    """Whatever JSON has is written on one line and read back as it was."""
    text = to_json(value)

    assert json.loads(text) == value
    assert "\n" not in text


@given(st.floats())
def test_every_float_survives_in_strict_json(value):
    """Numbers stay numbers; what is not finite is a string that `float` reads."""
    back = json.loads(to_json({"x": [value]}), parse_constant=refuse)["x"][0]

    assert isinstance(back, float if math.isfinite(value) else str)
    assert float(back) == value or (math.isnan(value) and math.isnan(float(back)))


def test_values_of_a_run_become_json():
    """Numpy, dataclasses, enums, paths and times are what a run is full of."""

    @dataclasses.dataclass(frozen=True)
    class Point:
        x: float

    class Colour(enum.Enum):
        RED = "red"

    value = {
        1: np.float32(0.5),
        "nan": np.float64("nan"),
        "array": np.array([[1, 2]]),
        "nans": np.array([math.inf]),
        "flag": np.bool_(True),
        "path": Path("a/b"),
        "time": datetime(2024, 5, 1, tzinfo=timezone.utc),
        "point": (Point(-math.inf), Colour.RED),
    }

    assert json.loads(to_json(value), parse_constant=refuse) == {
        "1": 0.5,
        "nan": "nan",
        "array": [[1, 2]],
        "nans": ["inf"],
        "flag": True,
        "path": "a/b",
        "time": "2024-05-01T00:00:00+00:00",
        "point": [{"x": "-inf"}, "red"],
    }


def test_other_types_are_refused_with_their_place():
    """The reader of the traceback sees which field it was."""
    with pytest.raises(TypeError, match=r"a\.b\[1\] is a set"):
        to_json({"a": {"b": [1, {2}]}})
