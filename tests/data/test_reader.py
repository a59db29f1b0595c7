"""Tests of hpcmtl.data.reader."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hpcmtl.data.hdf5 import describe, write_dataset_file
from hpcmtl.data.reader import ArrayReader, open_array
from hpcmtl.errors import InputError


def nothing() -> None:
    """Check for nothing between blocks."""


@settings(max_examples=min(25, settings.default.max_examples))
@given(st.lists(st.integers(0, 74), max_size=80))
def test_rows_come_in_the_order_asked_for(wide_file, numbers):
    """Any rows, repeated or not, in any order."""
    with open_array(wide_file, "wide") as reader:
        rows = reader.rows(np.array(numbers, dtype=np.int64), nothing)

    assert rows.shape == (len(numbers), 64, 1024)
    assert rows[:, 3, 7].tolist() == numbers


def test_each_block_is_read_once(wide_file, monkeypatch):
    """Rows scattered over three blocks cost three reads, in ascending order."""
    reads = []
    stored = ArrayReader._stored
    monkeypatch.setattr(ArrayReader, "_stored", lambda r, a, b: (reads.append((a, b)), stored(r, a, b))[1])
    with open_array(wide_file, "wide") as reader:
        reader.rows(np.array([74, 1, 40, 0, 3, 41, 2, 72]), nothing)

    assert reads == [(0, 4), (40, 42), (72, 75)]


def test_a_long_read_can_be_ended(wide_file):
    """A call between blocks may raise; no block is read after that."""
    calls = iter([None, None])
    with open_array(wide_file, "wide") as reader, pytest.raises(StopIteration):
        reader.rows(np.arange(75), lambda: next(calls))


def test_delivered_types(tmp_path):
    """Scaled integers and float64 come as float32, all else as stored, as the description says."""
    arrays = {
        "grey": np.array([0, 51, 255], np.uint8),
        "double": np.array([1.5, 2.5, 3.5]),
        "half": np.array([1, 2, 3], np.float16),
        "label": np.array([0, 1, 2], np.int32),
    }
    path = tmp_path / "f.h5"
    write_dataset_file(path, arrays, np.zeros(3, int), {"grey": {"scale": 1 / 255}})
    found = {}
    for name in arrays:
        with open_array(path, name) as reader:
            found[name] = reader.read(0, 3)
            assert found[name].dtype == reader.dtype == describe(path).datasets[name].dtype

    assert {name: str(values.dtype) for name, values in found.items()} == {
        "grey": "float32",
        "double": "float32",
        "half": "float16",
        "label": "int32",
    }
    np.testing.assert_allclose(found["grey"], [0, 0.2, 1], rtol=1e-6)
    assert found["double"].tolist() == [1.5, 2.5, 3.5]


@pytest.mark.parametrize(
    ("stored", "scale", "dtype", "values"),
    [
        (np.array([0.1, 1 / 3]), None, "float64", [0.1, 1 / 3]),
        (np.array([0, 7], np.int32), None, "int32", [0, 7]),
        (np.array([0, 3], np.uint8), 0.5, "float32", [0.0, 1.5]),
    ],
)
def test_exact_values(tmp_path, stored, scale, dtype, values):
    """Exact values keep the type in which they were stored; those with a scale are scaled, as `read` does."""
    path = tmp_path / "f.h5"
    write_dataset_file(path, {"x": stored}, np.zeros(2, int), {"x": {"scale": scale}} if scale else {})
    with open_array(path, "x") as reader:
        exact, later = reader.exact(), reader.exact(1, 2)

    assert (exact.dtype, exact.tolist()) == (np.dtype(dtype), values)
    assert (later.dtype, later.tolist()) == (np.dtype(dtype), values[1:2])


def test_unknown_dataset(wide_file):
    """The nearest name is offered."""
    with pytest.raises(InputError, match=r"wide\.h5: labl: there is no such dataset; did you mean 'label'"):
        open_array(wide_file, "labl").__enter__()
