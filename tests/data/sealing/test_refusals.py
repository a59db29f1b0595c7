"""Tables and recipes that cannot be sealed: each is refused with column, row, what was found and what to do."""

import h5py
import numpy as np
import pandas as pd
import pytest
from PIL import Image

import hpcmtl.data
from hpcmtl.data.sealing.seal import plan_seal
from hpcmtl.errors import InputError

ALL_TRAIN = {"fractions": [1, 0, 0]}
TABLE = {"a": [1.0, 2.0, 3.0], "b": ["x", "y", "x"], "c": ["2020-01-01", "2021-02-03", "2022-01-01"]}


def refusal(data, recipe=None):
    """Returns the message of a refusal."""
    with pytest.raises(InputError) as refused:
        plan_seal(data, {"split": ALL_TRAIN, **(recipe or {})}).require_sound()
    return str(refused.value)


@pytest.mark.parametrize(
    ("column", "cells", "rule", "message"),
    [
        ("a", [1, None, 3, None], "numeric", "column 'a': row 2 (and 1 more row) is empty; fill it in"),
        ("a", ["1", "?", "2", "3"], "numeric", "row 2 holds '?', which is no number; write a number, list"),
        ("a", [1, np.inf, 2, 3], "numeric", "row 2 holds Inf"),
        ("a", [1.0] * 4, {"kind": "numeric", "missing": "value", "value": "x"}, "would get 'x'; write a number"),
        ("a", [2**25, 1, 2, 3], {"kind": "numeric", "standardise": False}, "33554432, which float32 does not hold"),
        ("a", ["1", "2", "x", "3"], "date", "row 1 (and 3 more rows) holds '1', which is no such date"),
        ("a", [1, 2, 3, 4], "date", "row 1 (and 3 more rows) holds 1, which is no date"),
        ("a", ["2020-13-01"] * 4, {"kind": "date", "format": "%Y-%m-%d"}, "write dates of the form %Y-%m-%d"),
        ("a", ["x", "z", "y", "z"], {"kind": "categorical", "classes": ["x", "y"]}, "row 2 (and 1 more row) holds 'z'"),
        ("a", ["x", None, "y", "z"], "one_hot", "row 2 is empty; fill it in, leave the row out, or write `missing: v"),
        ("a", [None] * 4, {"kind": "categorical", "missing": "mask"}, "all others are empty; leave the column out"),
        (
            "a",
            [None] * 4,
            {"kind": "numeric", "missing": "mean"},
            "all other train rows are empty, so there is no mean",
        ),
        ("a", ["a b c", "d", "e", "f"], {"kind": "tokens", "length": 2}, "row 1 has 3 tokens; the length is 2"),
        ("a", np.full((4, 2), np.nan), "array", "row 1 (and 3 more rows) is empty"),
        ("a", [0, 1, 2, 3], {"kind": "array", "classes": ["x", "y"]}, "row 3 (and 1 more row) holds 2; 2 `classes`"),
        ("a", ["p", "q", "r", "s"], "array", "row 1 (and 3 more rows) holds text; write `kind: categorical`"),
        ("a", np.zeros((4, 2)), "categorical", "holds no text, number or truth value of its own"),
        (
            "a",
            ["x", "y", "x", "y"],
            {"kind": "categorical", "classes": ["x", "y"], "missing": "value", "value": "z"},
            "'z'",
        ),
    ],
)
def test_cells_that_cannot_be_stored(column, cells, rule, message):
    """The first row is named, the others are counted, and the remedy is said."""
    assert message in refusal({column: cells}, {"columns": {column: rule}})


@pytest.mark.parametrize(
    ("recipe", "message"),
    [
        ({"colums": {}}, "recipe: colums: is no key; did you mean 'columns'?"),
        ({"columns": []}, "recipe: columns: found []; write a mapping"),
        ({"columns": {"a": "nmeric"}}, "columns.a.kind: found 'nmeric'; did you mean 'numeric'?"),
        ({"columns": {"a": {}}}, "columns.a.kind: found None; write kind: numeric, date"),
        ({"columns": {"a": {"kind": "numeric", "classes": ["x"]}}}, "columns.a.classes: is no key here"),
        (
            {"columns": {"a": {"kind": "numeric", "missing": "drop"}}},
            "found 'drop'; write refuse or mean or value or mask",
        ),
        ({"columns": {"a": {"kind": "numeric", "missing": "value"}}}, "`missing: value` and `value: ...` go together"),
        ({"columns": {"b": {"kind": "categorical", "missing": "mean"}}}, "kind categorical has no mean"),
        ({"columns": {"b": {"kind": "categorical", "classes": ["x", "x"]}}}, "write a list of names, each once"),
        ({"columns": {"b": {"kind": "tokens", "length": 0}}}, "found 0; write a whole number from 1"),
        ({"columns": {"b": {"kind": "image", "size": 8}}}, "found 8; write [height, width]"),
        ({"columns": {"z": "numeric"}}, "column 'z': is not there"),
        ({"targets": ["z"]}, "column 'z': is not there"),
        ({"targets": "a"}, "recipe: targets: found 'a'; write a list of columns"),
        ({"split": "random"}, "split.by: found 'random'"),
        ({"split": {"by": "stratified"}}, "split.column: is missing; write the column by which rows are stratified"),
        ({"split": {"fractions": [0.5, 0.5]}}, "three numbers whose sum is 1"),
        ({"split": {"by": "folds", "folds": 3, "fold": 3}}, "split.fold: found 3; folds are 0 to 2"),
        ({"split": {"by": "folds", "fold": 1, "val_fold": 1}}, "which is the test split already"),
        ({"split": {"by": "column", "column": "b"}}, "row 1 (and 2 more rows) holds 'x'; write train, val or test"),
        (
            {"split": {"by": "time", "column": "b"}},
            "column 'b': row 1 (and 2 more rows) holds 'x', which is no such date",
        ),
        ({"split": {"by": "hash", "column": "a"}}, "split.column: is no key here"),
        ({"missing_values": [1]}, "missing_values: found [1]"),
        ({"delimiter": "||"}, "delimiter: found '||'; write one character"),
        ({"attributes": {"source": []}}, "attributes.source: found []"),
        ({"columns": dict.fromkeys("abc", "skip")}, "has no column that is stored"),
    ],
)
def test_recipes_that_are_wrong(recipe, message):
    """Unknown keys, kinds and columns, and values of another form are refused."""
    assert message in refusal(TABLE, recipe)


def test_all_problems_are_reported_at_once():
    """Columns do not hide each other's problems."""
    message = refusal({"a": [1, None, 2], "b": ["x", "y", "?"]}, {"columns": {"a": "numeric", "b": "date"}})

    assert "2 problems" in message
    assert message.index("column 'a'") < message.index("column 'b'")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "Empty CSV file"),
        ("a,b\n", "has no row"),
        ("a,a\n1,2\n", "'a' are there twice"),
        ("a,b\n1,2\n3\n", "Expected 2 columns, got 1"),
        ("a,b\n1,é\n", "Invalid UTF8"),
    ],
)
def test_csv_files_that_are_damaged(tmp_path, content, message):
    """A file without rows, with two columns of one name, short lines or another encoding is refused."""
    path = tmp_path / "t.csv"
    path.write_bytes(content.encode("latin1"))

    assert message in refusal(path)
    assert str(path) in refusal(path)


@pytest.mark.parametrize(
    ("name", "message"), [("nowhere.csv", "does not exist"), ("t.xlsx", "unknown ending '.xlsx'; known are .csv")]
)
def test_paths_that_cannot_be_read(tmp_path, name, message):
    """A path that is not there and one of another type are refused."""
    (tmp_path / "t.xlsx").touch()

    assert message in refusal(tmp_path / name)


def test_folders_that_are_no_classes(tmp_path):
    """A folder without images, with images beside folders, of several sizes, or with a damaged image is refused."""
    assert "has no image" in refusal(tmp_path)
    (tmp_path / "cat").mkdir()
    Image.new("L", (4, 4)).save(tmp_path / "cat" / "a.png")
    Image.new("L", (5, 4)).save(tmp_path / "cat" / "b.png")
    assert "4 x 5 pixels, the first image 4 x 4" in refusal(tmp_path) or "4 x 4 pixels" in refusal(tmp_path)
    (tmp_path / "cat" / "b.png").write_bytes((tmp_path / "cat" / "a.png").read_bytes()[:20])
    assert "b.png cannot be read as an image" in refusal(tmp_path)
    (tmp_path / "a.png").touch()

    assert "side by side" in refusal(tmp_path)


def test_an_image_whose_pixels_are_damaged_is_found_in_the_end(tmp_path):
    """An image with a sound head is refused when its pixels are read; no file is left."""
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (40, 40), dtype=np.uint8)).save(tmp_path / "a.png")
    content = (tmp_path / "a.png").read_bytes()
    (tmp_path / "a.png").write_bytes(content[: len(content) // 2])
    with pytest.raises(InputError, match=r"a.png cannot be read as an image"):
        hpcmtl.data.seal(tmp_path / "out.h5", tmp_path, {"split": ALL_TRAIN})

    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"a": [1, 2], "b": [1]}, "arrays of different lengths: a 2, b 1"),
        ({"a": 5}, "is one value"),
        ({}, "has no row"),
        ({"a": np.array([{}, {}])}, "column 'a': has values of the types dict"),
        ([{"a": 1}, {"b": 1}], "row 2: has b; the rows before have a; give None"),
        ([1], "row 1: found int; give mappings"),
        ([{"a": 1}, {"a": "x"}], "column 'a': has values of the types int, text"),
        (5, "found int; give a path"),
        (pd.DataFrame([[1, 2]], columns=["a", "a"]), "has two columns a"),
    ],
)
def test_data_in_memory_that_cannot_be_used(data, message):
    """Other types, different lengths, and rows that do not go together are refused."""
    assert message in refusal(data)


def test_arrays_of_objects_are_not_unpickled(tmp_path):
    """Files of numpy may hold programs: those with Python objects are refused."""
    np.savez(tmp_path / "a.npz", a=np.array([{}], dtype=object))
    np.save(tmp_path / "a.npy", np.array([{}], dtype=object))

    assert "objects" in refusal(tmp_path / "a.npz").lower()
    assert "objects" in refusal(tmp_path / "a.npy").lower()


def test_hdf5_files_without_datasets(tmp_path):
    """A file with groups alone, and values that are no numbers, are refused."""
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_group("g")
    with h5py.File(tmp_path / "b.h5", "w") as file:
        file["x"] = np.array([1j])

    assert "no dataset at its root" in refusal(tmp_path / "a.h5")
    assert "complex128" in refusal(tmp_path / "b.h5")


def test_two_columns_cannot_make_one_dataset():
    """A mask or a length that has the name of another column is refused."""
    columns = {"a": {"kind": "numeric", "missing": "mask"}, "a_mask": "array"}

    assert "makes a dataset 'a_mask'" in refusal({"a": [1.0], "a_mask": [1]}, {"columns": columns})


def test_an_existing_file_is_kept(tmp_path):
    """Without `overwrite` a file that exists is refused before anything is read."""
    (tmp_path / "out.h5").touch()
    with pytest.raises(InputError, match="exists already"):
        hpcmtl.data.seal(tmp_path / "out.h5", tmp_path / "nowhere.csv")
    with pytest.raises(InputError, match="there is no folder"):
        hpcmtl.data.seal(tmp_path / "no" / "out.h5", tmp_path / "nowhere.csv")
