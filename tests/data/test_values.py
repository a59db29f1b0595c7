"""The pass over all values: what it sees, what it refuses and what it warns of."""

from __future__ import annotations

import logging

import h5py
import numpy as np
import pytest

from hpcmtl.data.hdf5 import publish_arrays, write_dataset_file
from hpcmtl.data.value_summary import summarise
from hpcmtl.data.values import check_finite, check_intact, pass_over, summary_of
from hpcmtl.errors import InputError

ROWS = 300_000  # several blocks


def test_extremes_and_firsts_over_blocks(tmp_path):
    """Samples and values are those that numpy finds, whichever block they are in; file and memory agree."""
    values = np.random.default_rng(0).integers(-1000, 1000, ROWS).astype(np.float64)
    values[[7, 250_000]] = [0.1, 1e10]
    values[200_000] = -5000
    write_dataset_file(tmp_path / "x.h5", {"x": values}, np.zeros(ROWS, int))
    seen = check_finite(tmp_path / "x.h5", ["x"])["x"]

    assert (seen.smallest, seen.largest) == ((200_000, -5000.0), (250_000, 1e10))
    assert seen.fraction == (7, 0.1)
    assert seen.rounded == (7, 0.1)
    assert seen.not_finite is None
    memory = summarise(values)
    assert (memory.smallest, memory.largest, memory.fraction) == (seen.smallest, seen.largest, seen.fraction)
    assert memory.extremes == seen.extremes == (seen.smallest, seen.largest)


def test_samples_of_several_numbers():
    """A sample is a row: the shape is that of a row, and the first bad number is named by its row."""
    values = np.zeros((6, 4, 5), np.float32)
    values[4, 2, 3] = np.nan
    seen = summarise(values)

    assert (seen.shape, seen.not_finite) == ((4, 5), 4)


@pytest.mark.parametrize("dtype", ["i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8"])
def test_rounding_is_what_numpy_says(dtype):
    """A value counts as rounded exactly where a cast to float32 and back changes it, for every type of numbers."""
    kind = np.dtype(dtype)
    if kind.kind == "f":
        values = np.array([0, 1, 0.5, 1 / 3, 65504, -2048], kind)
    else:
        values = np.array([0, 1, np.iinfo(kind).max, np.iinfo(kind).max - 1, np.iinfo(kind).min], kind)
    exact = [int(np.float32(v)) == int(v) if kind.kind != "f" else float(np.float32(v)) == float(v) for v in values]
    wanted = None if all(exact) else exact.index(False)
    seen = summarise(values).rounded

    assert (None if seen is None else seen[0]) == wanted


@pytest.mark.parametrize(
    ("column", "merged"),
    [
        (1.7e9 + np.arange(100.0), True),
        (1.7e9 + 1e6 * np.arange(100.0), False),
        (np.linspace(1.7e9 - 80_000, 1.7e9, 100), True),
        (np.linspace(1.7e9 - 110_000, 1.7e9, 100), False),
        (np.full(100, 0.1), False),
        (np.array([0.3, 0.1 + 0.2] * 50), False),
        (np.arange(100) / 7, False),
        (2.0**23 + np.arange(100), False),
    ],
)
def test_one_column_that_float32_merges_is_enough(column, merged):
    """The other columns, with a larger spread, do not hide it; noise of float64 itself is no information."""
    table = np.stack([np.linspace(-1e12, 1e12, 100), column], axis=1)

    assert (summarise(column).merged is not None) == merged
    assert (summarise(table).merged is not None) == merged


def test_numbers_that_are_0_in_float32_count_alone():
    """Numbers too small for float32 merge where nothing else is left, and do no harm beside others."""
    tiny = np.linspace(1e-45, 1e-43, 100)

    assert summarise(tiny).merged is not None
    assert summarise(np.stack([np.arange(100.0), tiny], axis=1)).merged is None


@pytest.mark.parametrize(
    ("scale", "extremes"), [(1.0, ((1, 1), (0, 3))), (2.0, ((1, 2), (0, 6))), (-2.0, ((0, -6), (1, -2)))]
)
def test_extremes_are_those_that_a_network_reads(tmp_path, scale, extremes):
    """The scale of a file changes the values, and a negative one their order; the samples stay."""
    write_dataset_file(tmp_path / "x.h5", {"x": np.array([3, 1])}, np.zeros(2, int), {"x": {"scale": scale}})

    assert summary_of(tmp_path / "x.h5", "x").extremes == extremes


def test_a_missing_checksum_has_its_own_words(own_file):
    """It does not mean that values changed."""
    with h5py.File(own_file, "r+") as file:
        del file["label"].attrs["checksum"]

    with pytest.raises(InputError, match="label: has no checksum"):
        check_finite(own_file, ["label"])


def test_values_that_only_python_tasks_take(tmp_path):
    """NaN, text and no rows are intact, though no network can use them."""
    arrays = {"gaps": np.array([1, np.nan]), "words": np.array(["a", "ü"])}
    publish_arrays(tmp_path / "x.h5", arrays, np.zeros(2, int))
    publish_arrays(tmp_path / "none.h5", {"x": np.zeros((0, 4))}, np.zeros(0, int))

    assert check_intact(tmp_path / "x.h5", arrays)["gaps"].not_finite == 1
    assert check_intact(tmp_path / "none.h5", ["x", "split"])["x"].smallest is None
    with pytest.raises(InputError, match="gaps: sample 1 holds NaN"):
        check_finite(tmp_path / "x.h5", ["gaps"])


def test_a_summary_is_read_again_only_from_a_new_file(tmp_path):
    """A file that takes the path is seen."""
    for value in (1, 2):
        write_dataset_file(tmp_path / "x.h5", {"x": np.full(3, value)}, np.zeros(3, int), overwrite=True)
        seen = summary_of(tmp_path / "x.h5", "x")

        assert seen.largest == (0, value)
        assert summary_of(tmp_path / "x.h5", "x") is seen


@pytest.mark.parametrize(
    ("chunks", "said"),
    [
        ((75, 64, 1024), "each chunk has 19 MiB"),
        ((75, 8, 64), "the 128 chunks of each sample have 19 MiB"),
    ],
    ids=["huge", "small ones that split samples"],
)
def test_chunks_that_are_read_again_and_again_are_warned_of(own_file, caplog, chunks, said):
    """Compressed chunks that do not fit into the cache are unpacked once for each block: said with a remedy."""
    with h5py.File(own_file, "r+") as file:
        file.create_dataset("huge", (75, 64, 1024), "f4", chunks=chunks, compression="gzip")
        file["huge"].attrs["checksum"] = 0
    with caplog.at_level(logging.WARNING, "hpcmtl"), pytest.raises(InputError, match="checksum"):
        check_finite(own_file, ["wide", "huge"])

    (warning,) = [record.getMessage() for record in caplog.records]
    assert f"huge: {said} and must be read again for each block of samples, which is about 19 times the work" in warning
    assert "write the file by write_dataset_file, in chunks of 1 MiB" in warning


def test_values_without_missing_ones_over_blocks(tmp_path):
    """A summary without the number of missing values has the samples and values of numpy; each number has its own."""
    generator = np.random.default_rng(3)
    values = generator.normal(size=ROWS)
    values[generator.random(ROWS) < 0.5], values[5] = -9, np.nan
    write_dataset_file(tmp_path / "x.h5", {"x": values}, np.zeros(ROWS, int), {"x": {"missing": np.nan}})
    seen, wrong = pass_over(tmp_path / "x.h5", ["x"], missing={"x": {-9.0, "nan"}})
    whole, known = seen["x"], seen["x"].without(-9.0)
    others = np.where((values == -9) | np.isnan(values), np.inf, values)

    assert wrong == []
    assert (whole.smallest, whole.not_finite) == ((int(np.argmax(values == -9)), -9.0), 5)
    assert known.smallest == (int(others.argmin()), others.min())
    assert (known.not_finite, seen["x"].without("nan").not_finite) == (5, None)
    assert seen["x"].without(7.0) is seen["x"].without(None) is seen["x"]


def test_a_sample_of_known_and_missing_values():
    """The first one is told, and the values of the others count."""
    values = np.array([[1.0, 2.0], [np.nan, np.nan], [3.0, np.nan]])
    seen = summarise(values, {"nan"}).without("nan")

    assert (seen.partly, seen.smallest, seen.largest) == (2, (0, 1.0), (2, 3.0))
    assert summarise(values[:2], {"nan"}).without("nan").partly is None


@pytest.mark.parametrize(
    ("values", "attributes", "said"),
    [
        (
            [0, -1, 1],
            {"classes": ["a", "b"]},
            "label -1; 2 classes are named, so write 0 to 1; labels that are",
        ),
        ([0, -1, 1], {"classes": ["a", "b"], "missing": -1}, ""),
        ([0, -1, 2], {"classes": ["a", "b"], "missing": -1}, "sample 2 has label 2"),
        ([0.5, np.nan], {}, "sample 1 holds NaN; drop such samples or fill in a value; labels that are missing"),
        ([0.5, np.nan], {"missing": np.nan}, ""),
        ([np.inf, np.nan], {"missing": np.nan}, "sample 0 holds Inf"),
        ([0.5], {"missing": "nan"}, "missing: found 'nan'; write one number, or NaN"),
    ],
)
def test_a_file_says_which_values_are_missing(tmp_path, values, attributes, said):
    """A file with NaN or labels outside the classes is written where its attribute `missing` names them."""
    file, found = tmp_path / "x.h5", ""
    try:
        write_dataset_file(file, {"x": np.array(values)}, np.zeros(len(values), int), {"x": attributes})
    except InputError as error:
        found = str(error)

    assert said in found
    assert bool(found) == bool(said)
    assert said or check_finite(file, ["x"])["x"].shape == ()
