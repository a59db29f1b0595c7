"""Cells of arrays and lists: what is missing, and what is refused."""

import datetime as dt

import numpy as np
import pandas as pd
import pytest

from hpcmtl.data.sealing.cells import cells_of, words_of


@pytest.mark.parametrize(
    ("values", "missing", "plain"),
    [
        ([1, None, 3], [1], [1, 0, 3]),
        ([1.5, float("nan")], [1], None),
        (np.ma.masked_array([1, 2, 3], [0, 1, 0]), [1], None),
        ([True, None], [1], [True, False]),
        (np.array(["2020-01-01", "NaT"], "datetime64[D]"), [1], None),
        ([dt.date(2020, 1, 1), None], [1], None),
        (np.array([pd.NA, 2], dtype=object), [0], [0, 2]),
        ([[1, 2], [3, 4]], [], [[1, 2], [3, 4]]),
        ([None, None], [0, 1], None),
    ],
)
def test_missing_cells_are_found(values, missing, plain):
    """None, NaN, NaT, masked cells and pandas' NA are missing; the others keep their values."""
    cells = cells_of(values)

    assert np.flatnonzero(cells.missing).tolist() == missing
    if plain is not None:
        assert np.asarray(cells.values).tolist() == plain


@pytest.mark.parametrize(
    "values", [["b", None, "a", "b"], np.array(["b", "", "a", "b"]), np.array([b"b", b"", b"a", b"b"])]
)
def test_text_is_kept_once(values):
    """Each different text is stored once, and the cells have its position."""
    cells = cells_of(values)
    places, words = words_of(cells)

    assert [words[place] for place in places[[0, 2, 3]]] == ["b", "a", "b"]
    assert len(set(words)) == len(words)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([1, "a"], "int, text"),
        (5, "one value"),
        ([[1], [2, 3]], "is no array"),
        (np.array([1j]), "complex128"),
        ([{}, {}], "dict"),
        ([2**70, 1], "cannot be taken as int64"),
    ],
)
def test_other_values_are_refused(values, message):
    """Mixed types, single values, ragged lists, complex numbers and objects are refused with what was found."""
    with pytest.raises(ValueError, match=message):
        cells_of(
            np.array(values, dtype=object) if isinstance(values, list) and not isinstance(values[0], list) else values
        )


@pytest.mark.parametrize(
    ("values", "words"), [([3, 1], ["1", "3"]), ([2.0, 0.5], ["0.5", "2"]), ([True, False], ["false", "true"])]
)
def test_numbers_become_words(values, words):
    """Whole numbers have no point, also as floats; truth values are lower case."""
    assert words_of(cells_of(np.array(values)))[1] == words
