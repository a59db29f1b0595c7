"""Adopted files are read as sealed ones, from the originals; what cannot be adopted is refused by name."""

from __future__ import annotations

import os
import subprocess
import sys
from itertools import pairwise

import h5py
import numpy as np
import pytest
from plain_files import ROWS, adopted, plain_arrays, write_plain

from hpcmtl.data.describing import check_file, describe_file
from hpcmtl.data.fingerprint import fingerprint_of, require_unchanged
from hpcmtl.data.hdf5 import describe, read_split, write_dataset_file
from hpcmtl.data.reader import open_array
from hpcmtl.data.split import split_by_hash
from hpcmtl.data.values import pass_over
from hpcmtl.errors import InputError

pytestmark = pytest.mark.slow

FRACTIONS = (0.8, 0.1, 0.1)


def nothing(*_):
    """Takes what is reported."""


def rows_of(path, name, numbers):
    """Returns rows as a task reads them."""
    with open_array(path, name) as reader:
        return reader.rows(np.asarray(numbers), nothing)


def sealed_copy(path, arrays, split, **attributes):
    """Writes the same values as a sealed file."""
    write_dataset_file(path, arrays, split, attributes)
    return path


def test_an_adopted_file_is_as_its_sealed_copy(plain, tmp_path):
    """Description, rows, blocks, fingerprint and value summaries are those of a sealed file of the same values."""
    out = adopted(tmp_path / "out.h5", plain, columns={"y": {"kind": "array", "classes": ["a", "b", "c"]}})
    arrays = plain_arrays()
    copy = sealed_copy(tmp_path / "copy.h5", arrays, split_by_hash(ROWS, FRACTIONS, 0), y={"classes": ["a", "b", "c"]})
    numbers = np.random.default_rng(1).permutation(ROWS)[:200]
    mine, theirs = describe(out), describe(copy)
    found, problems = pass_over(out, arrays)
    known, _ = pass_over(copy, arrays)

    assert (mine.datasets, mine.split_sizes, mine.samples) == (theirs.datasets, theirs.split_sizes, theirs.samples)
    assert np.array_equal(read_split(out), read_split(copy))
    assert fingerprint_of(out).arrays == fingerprint_of(copy).arrays
    assert problems == []
    for name, array in arrays.items():
        expected = array.astype(np.float32) if array.dtype == np.float64 else array
        assert np.array_equal(rows_of(out, name, numbers), expected[numbers])
        assert found[name].extremes == known[name].extremes
        assert found[name].merged == known[name].merged
        assert (found[name].fraction, found[name].rounded) == (known[name].fraction, known[name].rounded)
    assert out.stat().st_size < plain.stat().st_size / 50


def test_nothing_is_read_again_while_the_original_is_untouched(plain, tmp_path, monkeypatch):
    """The pass before a run takes what the adoption saw; after a touch it reads all values once, and they are sound."""
    out = adopted(tmp_path / "out.h5", plain)
    reads = []
    before, _ = pass_over(out, ["x", "y", "z"], after_block=reads.append)

    assert reads == []
    plain.touch()
    after, problems = pass_over(out, ["x", "y", "z"], after_block=reads.append)
    assert sum(reads) == sum(array.nbytes for array in plain_arrays().values())
    assert problems == []
    assert {name: each.extremes for name, each in before.items()} == {
        name: each.extremes for name, each in after.items()
    }


def test_declared_missing_values_are_as_in_a_sealed_copy(tmp_path, monkeypatch):
    """Summaries with and without the missing values are those of a sealed file, and no value is read for them again."""
    arrays = plain_arrays()
    arrays["z"][[5, 410], 1], arrays["y"][::7] = np.nan, -1
    classes, missing = {"classes": ["a", "b", "c"]}, {"y": -1, "z": float("nan")}
    plain = write_plain(tmp_path / "p.h5", arrays)
    out = adopted(tmp_path / "out.h5", plain, missing=missing, columns={"y": {"kind": "array", **classes}})
    split = split_by_hash(ROWS, FRACTIONS, 0)
    copy = sealed_copy(tmp_path / "copy.h5", arrays, split, y={**classes, "missing": -1}, z={"missing": np.nan})
    declared, reads = {"y": [-1.0], "z": ["nan"]}, []
    known, _ = pass_over(copy, arrays, missing=declared)
    found, problems = pass_over(out, arrays, missing=declared, after_block=reads.append)

    assert (problems, reads) == ([], [])
    for name, number in (("x", None), ("y", -1.0), ("z", "nan")):
        mine, theirs = found[name].without(number), known[name].without(number)
        assert (mine.extremes, mine.fraction, mine.rounded) == (theirs.extremes, theirs.fraction, theirs.rounded)
        assert (mine.partly, mine.absent, mine.not_finite) == (theirs.partly, theirs.absent, theirs.not_finite)
        assert (mine.merged, found[name].declared) == (theirs.merged, known[name].declared)
    assert found["z"].not_finite == known["z"].not_finite == 5
    pass_over(out, ["y"], missing={"y": [2.0]}, after_block=reads.append)
    assert sum(reads) == arrays["y"].nbytes


def test_undeclared_missing_values_are_refused_with_the_remedy(tmp_path):
    """NaN and a label outside the classes name `--missing`; a number for an array that is not adopted is refused."""
    arrays = {"x": np.ones((ROWS, 2), np.float32), "y": np.arange(ROWS) % 4 - 1}
    arrays["x"][3] = np.nan
    plain = write_plain(tmp_path / "p.h5", arrays)
    columns = {"y": {"kind": "array", "classes": ["a", "b", "c"]}}

    with pytest.raises(InputError) as refused:
        adopted(tmp_path / "out.h5", plain, "x,y", columns=columns)
    assert len(refused.value.problems) == 2
    assert all("`--missing` of `hpcmtl data adopt`" in each.message for each in refused.value.problems)
    with pytest.raises(InputError, match="--missing w: is not adopted"):
        adopted(tmp_path / "out.h5", plain, "x", missing={"w": -1})
    with pytest.raises(InputError, match="missing: found inf; write one number, or NaN"):
        adopted(tmp_path / "out.h5", plain, "x", missing={"x": np.inf})


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"chunks": (7, 5, 64), "compression": "gzip"},
        {"chunks": (600, 32, 64), "shuffle": True, "compression": "lzf"},
        {"chunks": (1, 32, 1), "fletcher32": True},
    ],
)
def test_every_layout_is_read_right(tmp_path, options):
    """Contiguous and chunked data, chunks that split samples, filters, and a Fortran array of the other byte order."""
    array = np.asfortranarray(plain_arrays()["x"].astype(">f4"))
    out = adopted(tmp_path / "out.h5", write_plain(tmp_path / "p.h5", {"x": array}, **options), "x")

    assert np.array_equal(rows_of(out, "x", np.arange(ROWS)[::-1]), array[::-1])
    assert check_file(out, nothing) == (2, [])


def test_shards_are_one_array_in_natural_order(tmp_path):
    """shard2 comes before shard10, one of them is empty, and blocks cross the borders."""
    whole, cuts = plain_arrays(), [0, 37, 37, 310, ROWS]
    for number, (start, stop) in zip((1, 2, 9, 10), pairwise(cuts), strict=True):
        write_plain(tmp_path / f"shard{number}.h5", {name: each[start:stop] for name, each in whole.items()})
    out = adopted(tmp_path / "out.h5", tmp_path / "shard*.h5", split={"by": "stratified", "column": "y"})

    assert describe(out).samples == ROWS
    assert np.array_equal(rows_of(out, "x", np.arange(ROWS)), whole["x"])
    assert np.array_equal(read_split(out), split_by_hash(ROWS, FRACTIONS, 0, stratify=whole["y"]))
    assert check_file(out, nothing) == (4, [])


def test_split_by_time_by_a_column_and_by_folds(tmp_path):
    """Columns of the split are datasets of the file, of numbers or of text, in a group or not."""
    names = np.array(["train", "test", "val"])[np.arange(ROWS) % 3]
    path = write_plain(tmp_path / "p.h5", {"g/x": np.ones((ROWS, 2), np.float32), "when": np.arange(ROWS)[::-1]})
    with h5py.File(path, "r+") as file:
        file["which"] = names.astype(h5py.string_dtype())
    made = {
        by: read_split(adopted(tmp_path / f"{by}.h5", path, "x=g/x", split={"by": by, **rule}))
        for by, rule in {
            "time": {"column": "when", "fractions": [0.5, 0.25, 0.25]},
            "column": {"column": "which"},
            "grouped": {"column": "which", "fractions": [0.4, 0.3, 0.3]},
            "folds": {"folds": 3, "fold": 1},
        }.items()
    }

    assert np.array_equal(made["time"], np.repeat([2, 1, 0], [150, 150, 300]))
    assert made["column"].tolist() == [0, 2, 1] * (ROWS // 3)
    assert [len(set(made["grouped"][names == name])) for name in ("train", "test", "val")] == [1, 1, 1]
    assert set(made["folds"]) == {0, 2}


def change(path):
    """Changes a value, and keeps size and time."""
    state = path.stat()
    with h5py.File(path, "r+") as file:
        file["x"][300, 0, 0] += 1
    os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))


def test_a_changed_original_is_refused_when_it_is_read(plain, tmp_path):
    """A value that was changed in secret is found by the checksum of its block, with samples and file."""
    out = adopted(tmp_path / "out.h5", plain)
    change(plain)

    assert len(rows_of(out, "x", [5])) == 1
    with pytest.raises(InputError, match=rf"x: samples 256 to 383 .*{plain} was changed after it was adopted; put"):
        rows_of(out, "x", [300])
    arrays, problems = check_file(out, nothing)
    assert (arrays, len(problems)) == (4, 1)


def test_originals_that_are_gone_or_have_another_size(plain, tmp_path):
    """The pass before a run names the file and the remedy, once for all arrays; so does a reader."""
    out = adopted(tmp_path / "out.h5", plain)
    moved = plain.rename(tmp_path / "moved.h5")
    _, gone = pass_over(out, ["x", "y"])
    with pytest.raises(InputError, match=r"plain.h5 \(adopted\): is not there; put the file back"):
        rows_of(out, "x", [0])
    plain.write_bytes(moved.read_bytes() + b"more")
    _, longer = pass_over(out, ["x", "y"])

    assert [str(each) for each in gone] == [
        f"{plain} (adopted): is not there; put the file back as it was, or adopt it again by `hpcmtl data adopt`"
    ]
    assert [f"has {plain.stat().st_size} bytes, and had {moved.stat().st_size} when adopted" in str(longer[0])] == [
        True
    ]


def test_both_files_can_move_together(plain, tmp_path):
    """A file beside its original finds it in another folder, also as a copy with another time."""
    out = adopted(tmp_path / "out.h5", plain)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "plain.h5").write_bytes(plain.read_bytes())
    moved = out.rename(tmp_path / "other" / "out.h5")
    plain.unlink()

    assert check_file(moved, nothing) == (4, [])
    assert describe_file(moved, nothing).arrays[0].name == "x"


def vlen(file):
    """Adds arrays of different lengths."""
    made = file.create_dataset("bad", (ROWS,), h5py.vlen_dtype(np.int32))
    made[0] = [1, 2]


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        (np.ones(ROWS + 1), r"p.h5: datasets of different lengths: x 600, bad 601"),
        (np.float32(1), "bad: is one value; the first axis counts samples"),
        (np.ones((ROWS, 0)), r"bad: has the shape \(600, 0\), in which a sample has no value"),
        (np.zeros(ROWS, [("a", "i4"), ("b", "f4")]), "bad: holds records of a, b; write each field"),
        (np.array([b"text"] * ROWS), "bad: holds text"),
        (np.array(["text"] * ROWS, h5py.string_dtype()), "bad: holds text"),
        (np.ones(ROWS, bool), "bad: holds values of type bool; integers and floats"),
        (np.ones(ROWS, complex), "bad: holds values of type complex128"),
        (vlen, "bad: holds values of type object"),
        (lambda file: file.create_dataset("bad", dtype="f4", shape=None), "bad: "),
        (lambda file: file.create_group("bad/x"), "bad: is no dataset; name one of its members: x"),
        (lambda file: None, "bad: there is no such dataset"),
        (np.where(np.arange(ROWS) == 77, np.nan, 1), "p.h5: bad: sample 77 holds NaN; drop such samples"),
        (np.where(np.arange(ROWS) == 599, -np.inf, 1), "p.h5: bad: sample 599 holds Inf"),
    ],
)
def test_what_cannot_be_adopted(tmp_path, bad, said):
    """The refusal names file and dataset, what was found, and no file is made."""
    path = write_plain(tmp_path / "p.h5", {"x": np.ones((ROWS, 3), np.float32)})
    with h5py.File(path, "r+") as file:
        if callable(bad):
            bad(file)
        else:
            file["bad"] = bad

    with pytest.raises(InputError, match=said):
        adopted(tmp_path / "out.h5", path, "x,bad")
    assert [each.name for each in tmp_path.iterdir()] == ["p.h5"]


def test_files_that_do_not_go_together(tmp_path):
    """Samples of another shape or type, no sample at all, a pattern without a file, and a file twice are refused."""
    one = write_plain(tmp_path / "a.h5", {"x": np.ones((3, 2), np.float32)})
    shape = write_plain(tmp_path / "b.h5", {"x": np.ones((3, 3), np.float32)})
    kind = write_plain(tmp_path / "c.h5", {"x": np.ones((3, 2), np.float64)})
    empty = write_plain(tmp_path / "d.h5", {"x": np.ones((0, 2), np.float32)})
    refused = {
        (one, shape): r"b.h5: x: samples of shape \(3,\), but .*a.h5 has \(2,\)",
        (one, kind): "c.h5: x: values of type float64, but .*a.h5 has float32",
        (empty,): "d.h5: has no sample",
        (tmp_path / "no*.h5",): "fits no file",
        (one, one): "a.h5: is named twice",
    }

    for files, said in refused.items():
        with pytest.raises(InputError, match=said):
            adopted(tmp_path / "out.h5", list(files), "x")
    with pytest.raises(InputError, match="out.h5: is an adopted file itself"):
        adopted(tmp_path / "again.h5", adopted(tmp_path / "out.h5", one, "x", split="folds"), "x")


def test_rules_other_than_attributes_are_refused(plain, tmp_path):
    """Values stay as they are, so no rule can convert them; a label outside the classes is refused."""
    refused = {
        "--column x: values stay as they are": {"x": "numeric"},
        "--column w: is not adopted": {"w": "array"},
        "y: sample .* has label 2; 2 classes are named": {"y": {"kind": "array", "classes": ["a", "b"]}},
    }

    for said, columns in refused.items():
        with pytest.raises(InputError, match=said):
            adopted(tmp_path / "out.h5", plain, columns=columns)


HOLDER = """
import sys, h5py
file = h5py.File(sys.argv[1], "r+", libver=sys.argv[2], locking=True)
if sys.argv[2] == "latest":
    file.swmr_mode = True
print("open", flush=True)
sys.stdin.read()
"""


@pytest.mark.parametrize("version", ["latest", "earliest"])
def test_a_file_that_is_being_written(tmp_path, version):
    """A program has it open for SWMR writing, or for plain writing in the old format, which a lock alone shows."""
    with h5py.File(tmp_path / "p.h5", "w", libver=version) as file:
        file["x"] = np.ones((9, 2), np.float32)
    command = [sys.executable, "-c", HOLDER, str(tmp_path / "p.h5"), version]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout.readline() == "open\n"
        with pytest.raises(InputError, match="p.h5: is open for writing"):
            adopted(tmp_path / "out.h5", tmp_path / "p.h5", "x")
        holder.stdin.close()


def test_a_missing_filter_is_named(tmp_path):
    """Values that are compressed by a filter that is not installed are no damage."""
    with h5py.File(tmp_path / "p.h5", "w") as file:
        properties = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        properties.set_chunk((75,))
        properties.set_filter(32004, h5py.h5z.FLAG_OPTIONAL, (0,))
        space = h5py.h5s.create_simple((75,))
        made = h5py.h5d.create(file.id, b"x", h5py.h5t.NATIVE_INT32, space, dcpl=properties)
        made.write_direct_chunk((0,), b"abc" * 20, 0)

    with pytest.raises(InputError, match=r"p.h5: x: is compressed by filter 32004.*, which this HDF5 lacks; install"):
        adopted(tmp_path / "out.h5", tmp_path / "p.h5", "x")


def test_a_run_notices_another_adoption(plain, tmp_path):
    """Files that were changed and adopted again have another fingerprint: a run that goes on names the array."""
    out = adopted(tmp_path / "out.h5", plain)
    before = fingerprint_of(out)
    adopted(out, plain)
    require_unchanged(out, before, ["x", "y", "z"])
    change(plain)
    adopted(out, plain)

    with pytest.raises(InputError, match="out.h5: x: was float32.* when the run began, and is"):
        require_unchanged(out, before, ["x", "y"])
    require_unchanged(out, before, ["y", "z"])


def test_the_shard_with_a_bad_value_is_named(tmp_path):
    """Of several files that share a block, the one with the value is named, with the number of its own sample."""
    for number in range(3):
        with h5py.File(tmp_path / f"s{number}.h5", "w") as file:
            file["x"] = np.where(np.arange(70) == 33, np.nan, 1.0) if number == 1 else np.ones(70)

    with pytest.raises(InputError) as refused:
        adopted(tmp_path / "out.h5", [tmp_path / f"s{number}.h5" for number in range(3)], "x")

    (problem,) = refused.value.problems
    assert problem.where.endswith("s1.h5: x")
    assert problem.message.startswith("sample 33 holds NaN")
