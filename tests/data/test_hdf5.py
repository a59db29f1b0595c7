"""Tests of hpcmtl.data.hdf5 and hpcmtl.data.contract: what is written, and the real faults that are refused."""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest

from hpcmtl.data.hdf5 import describe, numbers_in, read_split, write_dataset_file
from hpcmtl.data.reader import open_array
from hpcmtl.data.values import check_finite
from hpcmtl.errors import InputError

CHECKOUT = Path(__file__).parents[2]
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(CHECKOUT)}


def refusal(function, *arguments) -> str:
    """Return the message with which a call is refused."""
    with pytest.raises(InputError) as caught:
        function(*arguments)
    return str(caught.value)


def test_description_says_what_was_written(wide_file):
    """Shapes, delivered types, classes, sizes and splits come back from the metadata."""
    description = describe(wide_file)

    assert description.samples == 75
    assert description.split_sizes == {"train": 60, "val": 7, "test": 8}
    assert list(description.datasets) == ["label", "weight", "wide"]
    wide, label = description.datasets["wide"], description.datasets["label"]
    assert (wide.shape, wide.dtype, wide.classes, wide.bytes) == ((64, 1024), np.float32, None, 75 << 18)
    assert (label.shape, label.dtype, label.classes, label.bytes) == ((), np.int64, ("a", "b", "c"), 600)
    assert description.datasets["weight"].dtype == np.float32
    check_finite(wide_file, description.datasets)


def test_chunks_are_whole_samples_of_about_a_mebibyte(wide_file):
    """Auto-chunks would cut across samples and make block reads slow."""
    with h5py.File(wide_file) as file:
        assert file["wide"].chunks == (4, 64, 1024)
        assert file["label"].chunks == (75,)
        assert file.attrs["licence"] == "none"


def test_content_decides_the_bytes(tmp_path):
    """The same arrays give the same file, byte for byte."""
    for name in ("a", "b"):
        arrays = {"x": np.arange(6.0), "y": np.arange(6)}
        write_dataset_file(tmp_path / name, arrays, np.zeros(6, int), {"y": {"classes": range(6)}})

    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_numbers_in_join_splits(wide_file):
    """Several splits together come in stored order."""
    assert numbers_in(read_split(wide_file), ["val", "test"]).tolist() == list(range(4, 75, 5))


def test_all_broken_rules_are_told_at_once(tmp_path):
    """A converter hears of all its mistakes in one go, by dataset, and no file appears."""
    arrays = {
        "a/b": np.zeros(4),
        "text": np.array(["x"] * 4),
        "short": np.zeros(3),
        "none": np.zeros((0, 2)),
        "good": np.zeros(4),
    }
    message = refusal(write_dataset_file, tmp_path / "f.h5", arrays, np.array([0, 1, 2, 3]), {"god": {}})

    assert message.startswith("6 problems:")
    for part in ("'a/b'", "text: values of type", "short: 3 samples, but split has 4", "none: shape (0, 2)"):
        assert part in message
    assert "f.h5: split: found 3 at sample 3; write one code" in message
    assert "did you mean 'good'?" in message
    assert list(tmp_path.iterdir()) == []


def test_values_that_cannot_be_trained_on_are_not_written(tmp_path):
    """NaN, Inf and labels without a class are refused with the number of the sample; no file appears."""
    x = np.zeros((700_000, 2), np.float32)
    x[650_000, 1] = np.inf
    label = np.arange(700_000) % 10
    arrays = {"x": x, "label": label, "y": np.where(np.arange(700_000) == 5, np.nan, 0)}
    message = refusal(write_dataset_file, tmp_path / "f.h5", arrays, label * 0, {"label": {"classes": range(9)}})

    assert "x: sample 650000 holds Inf" in message
    assert "y: sample 5 holds NaN" in message
    assert "label: sample 9 has label 9; 9 classes are named, so write 0 to 8" in message
    assert list(tmp_path.iterdir()) == []


def test_memmap_and_foreign_byte_order(tmp_path):
    """A big-endian array on disc is written in blocks and comes back with the same values."""
    mapped = np.memmap(tmp_path / "raw", dtype=">f4", mode="w+", shape=(300_000, 2))
    mapped[:] = np.arange(600_000).reshape(-1, 2)
    write_dataset_file(tmp_path / "f.h5", {"x": mapped}, np.zeros(300_000, np.uint8))

    check_finite(tmp_path / "f.h5", ["x"])
    with open_array(tmp_path / "f.h5", "x") as reader:
        assert reader.read(299_999, 300_000).tolist() == [[599_998.0, 599_999.0]]


@pytest.mark.parametrize("left", [0, 7, 100, 3000, 1_000_000, -1])
def test_truncated_file(own_file, left):
    """A file that lost its end, wherever it was cut, is refused by name."""
    os.truncate(own_file, left if left >= 0 else own_file.stat().st_size + left)

    assert f"{own_file}: is truncated" in refusal(describe, own_file)


def test_missing_file_directory_and_text(tmp_path):
    """A file that is not there, or is no HDF5, is refused by name."""
    text = tmp_path / "text.h5"
    text.write_text("hello")

    assert "does not exist" in refusal(describe, tmp_path / "no.h5")
    assert "is not a file" in refusal(describe, tmp_path)
    assert "not an HDF5 file" in refusal(describe, text)


def test_unsealed_and_unknown_format(own_file):
    """A file that opens well but was never sealed, or is of a later format than the documented 1, is refused."""
    with h5py.File(own_file, "r+") as file:
        assert file.attrs["hpcmtl_format"] == 1
        file.attrs["hpcmtl_format"] = 3
    assert "has format 3; this hpcmtl reads the formats 1 and 2" in refusal(describe, own_file)
    with h5py.File(own_file, "r+") as file:
        del file.attrs["sealed"]
    assert "is not sealed" in refusal(describe, own_file)


def test_lengths_and_split_of_a_changed_file(own_file):
    """Datasets of another length and a wrong split are told together, a missing split alone."""
    with h5py.File(own_file, "r+") as file:
        del file["label"], file["weight"]
        file["label"] = np.zeros(74)
        file["weight"] = np.zeros((0, 3))
        file["split"][3] = 9
    message = refusal(describe, own_file)

    assert "label: 74 samples, but split has 75" in message
    assert "weight: 0 samples, but split has 75" in message
    assert "split: found 9 at sample 3; write one code" in message
    with h5py.File(own_file, "r+") as file:
        del file["split"]
        file.create_group("extra")
    assert "split: is missing" in refusal(describe, own_file)
    assert "extra: is not an array" in refusal(describe, own_file)


def test_nan_in_a_stored_dataset(own_file):
    """One NaN put in later is found, with dataset and sample; so are changed values and unknown names."""
    with h5py.File(own_file, "r+") as file:
        file["wide"][70, 5, 5] = np.nan
        file["label"][3] = 1
    message = refusal(check_finite, own_file, ["wide", "label", "weight", "wid"])

    assert f"{own_file}: wide: sample 70 holds NaN" in message
    assert f"{own_file}: label: values do not match their checksum" in message
    assert "did you mean 'wide'?" in message
    assert message.startswith("3 problems:")


def test_damaged_chunk(own_file):
    """A flipped byte inside a chunk is found by the check and by the read, with file and dataset."""
    with h5py.File(own_file) as file:
        offset = file["wide"].id.get_chunk_info(2).byte_offset + 1000
    with own_file.open("r+b") as file:
        file.seek(offset)
        file.write(b"\xff")

    assert f"{own_file}: wide: cannot be read, the file is damaged" in refusal(check_finite, own_file, ["wide"])
    with open_array(own_file, "wide") as reader:
        assert reader.read(0, 8)[:, 0, 0].tolist() == list(range(8))
        assert f"{own_file}: wide: cannot be read" in refusal(reader.read, 8, 12)


def test_reading_needs_no_lock(wide_file):
    """A lock held by somebody else, or a mount that has none, does not stop a reader."""
    with wide_file.open("rb") as other:
        fcntl.flock(other, fcntl.LOCK_EX)

        assert describe(wide_file).samples == 75


WRITER = """
import sys
import numpy as np
from hpcmtl.data.hdf5 import write_dataset_file

class Slow(np.ndarray):
    '''Says that the second block is due, then waits to be killed.'''
    def __getitem__(self, rows):
        if rows.start:
            print("half", flush=True)
            sys.stdin.read()
        return np.asarray(self).__getitem__(rows)

x = np.zeros((4, 1 << 18), np.float32).view(Slow)
write_dataset_file(sys.argv[1], {"label": np.arange(4), "x": x}, np.zeros(4, int), overwrite=True)
"""


def test_killed_writer_leaves_the_old_file(own_file):
    """SIGKILL in the middle of writing: the file under the name is the old one, the half one is refused."""
    before = own_file.read_bytes()
    writer = subprocess.Popen(
        [sys.executable, "-c", WRITER, own_file],
        env=ENVIRONMENT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with writer:
        assert writer.stdout.readline() == "half\n"
        writer.send_signal(signal.SIGKILL)
    (half,) = own_file.parent.glob(".own.h5.*.partial")

    assert own_file.read_bytes() == before
    with pytest.raises(InputError, match=r"truncated|not sealed"):
        describe(half)


def test_a_folder_that_is_missing_is_named(own_file):
    """The message has the folder and the name that was given, and not the hidden name of the unfinished file."""
    said = refusal(write_dataset_file, own_file.parent / "nodir/b.h5", {"x": np.zeros(3)}, np.zeros(3, int))

    assert f"nodir/b.h5: there is no folder {own_file.parent / 'nodir'}; create it first" in said
    assert "partial" not in said


def test_a_file_that_exists_is_kept(own_file):
    """It is replaced only on demand, and never in part."""
    before = own_file.read_bytes()
    arrays, split = {"x": np.zeros(3)}, np.zeros(3, int)

    assert "own.h5: exists already; give another name, or `overwrite=True`" in refusal(
        write_dataset_file, own_file, arrays, split
    )
    assert own_file.read_bytes() == before
    write_dataset_file(own_file, arrays, split, overwrite=True)
    assert list(describe(own_file).datasets) == ["x"]


def test_arguments_by_name(tmp_path):
    """Every argument may be given by its name; `overwrite` only so, as a bare True says nothing."""
    path, arrays, split = tmp_path / "f.h5", {"x": np.arange(3)}, np.zeros(3, int)
    attributes = {"x": {"classes": ["a", "b", "c"]}}
    write_dataset_file(
        path=path, arrays=arrays, split=split, attributes=attributes, file_attributes={"licence": "none"}
    )

    assert describe(path).datasets["x"].classes == ("a", "b", "c")
    with pytest.raises(TypeError, match="positional"):
        write_dataset_file(path, arrays, split, {}, {}, True)


def test_lists_are_arrays(tmp_path):
    """Lists of numbers are written as the arrays that numpy makes of them."""
    write_dataset_file(tmp_path / "f.h5", {"x": [[1.5, 2], [3, 4]], "y": [0, 1]}, [0, 2])

    with open_array(tmp_path / "f.h5", "x") as reader:
        assert reader.exact().tolist() == [[1.5, 2.0], [3.0, 4.0]]
    assert describe(tmp_path / "f.h5").split_sizes == {"train": 1, "val": 0, "test": 1}
    assert "x: is no array" in refusal(write_dataset_file, tmp_path / "g.h5", {"x": [[1], [1, 2]]}, [0, 0])


@pytest.mark.parametrize("where", ["x", "split"])
def test_masks_are_not_dropped(tmp_path, where):
    """Masked values are refused, in arrays, in lists of arrays and in the split; a mask that masks nothing is not."""
    given = {"x": np.arange(4.0), "split": np.zeros(4, int)}
    masked = np.ma.masked_greater(np.arange(4), 1)
    unmasked = np.ma.masked_greater(given[where], 9)

    for value in (masked, [masked, masked]):
        arrays = {**given, where: value}
        said = refusal(write_dataset_file, tmp_path / "f.h5", {"x": arrays["x"]}, arrays["split"])
        assert f"{where}: is masked, and its mask would be lost; give .filled(VALUE)" in said
    write_dataset_file(tmp_path / "f.h5", {"x": {**given, where: unmasked}["x"]}, {**given, where: unmasked}["split"])


@pytest.mark.parametrize("scale", [0, np.nan, np.inf, "1/255", [1, 2]])
def test_a_scale_is_one_finite_number(tmp_path, scale):
    """With 0, NaN or a word every sample would be the same, or none readable."""
    said = refusal(write_dataset_file, tmp_path / "f.h5", {"x": [1, 2]}, [0, 0], {"x": {"scale": scale}})

    assert "x: scale: found" in said


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("scale", 0.0, "write one finite number other than 0"),
        ("scale", np.nan, "write one finite number other than 0"),
        ("scale", "1/255", "write one finite number other than 0"),
        ("classes", 3, "write a list of names"),
        ("classes", "abc", "write a list of names"),
        ("checksum", "abc", "which is no checksum"),
        ("checksum", [1, 2], "which is no checksum"),
    ],
)
def test_attributes_that_another_program_wrote_are_checked(own_file, key, value, said):
    """A file may have attributes that `write_dataset_file` refuses: they are refused when the file is read as well."""
    with h5py.File(own_file, "r+") as file:
        file["label"].attrs[key] = value
    message = refusal(describe, own_file)

    assert f"label: {key}: found" in message
    assert said in message
