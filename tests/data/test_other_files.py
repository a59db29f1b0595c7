"""Values in other files that are not there are never read as fill values: virtual datasets and external storage."""

from __future__ import annotations

import h5py
import numpy as np
import pytest
from plain_files import adopted, write_plain

from hpcmtl.data.reader import open_array
from hpcmtl.data.sealing.seal import seal
from hpcmtl.data.values import pass_over
from hpcmtl.errors import InputError


@pytest.fixture(autouse=True)
def asked_for(monkeypatch):
    """The user lets files have values in other files."""
    monkeypatch.setenv("HPCMTL_HDF5_EXTERNAL", "1")


PARTS = [np.arange(8, dtype=np.int32).reshape(4, 2) + 100 * number for number in range(3)]


@pytest.fixture
def virtual(tmp_path):
    """A virtual dataset over three files, named relative to it."""
    for number, part in enumerate(PARTS):
        write_plain(tmp_path / f"part{number}.h5", {"x": part})
    layout = h5py.VirtualLayout((12, 2), np.int32)
    for number in range(3):
        layout[number * 4 : number * 4 + 4] = h5py.VirtualSource(f"part{number}.h5", "x", (4, 2))
    with h5py.File(tmp_path / "all.h5", "w") as file:
        file.create_virtual_dataset("x", layout, fillvalue=-1)
    return tmp_path / "all.h5"


def test_a_virtual_dataset_is_read_right(virtual, tmp_path, monkeypatch):
    """All sources are there: the values are theirs, from any working directory; unless asked for, it is refused."""
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    out = adopted(tmp_path / "out.h5", virtual, "x")
    with open_array(out, "x") as reader:
        rows = reader.read(0, 12)
    monkeypatch.delenv("HPCMTL_HDF5_EXTERNAL")

    assert np.array_equal(rows, np.concatenate(PARTS))
    with open_array(out, "x") as reader, pytest.raises(InputError, match="other files: part0.h5, part1.h5, part2.h5"):
        reader.read(0, 1)
    with pytest.raises(InputError, match="has its values in other files"):
        adopted(tmp_path / "again.h5", virtual, "x")


def test_a_link_to_a_virtual_dataset(virtual, tmp_path):
    """Sources beside the file itself are found by a symbolic link from another folder."""
    (tmp_path / "links").mkdir()
    (tmp_path / "links" / "link.h5").symlink_to(virtual)
    with open_array(adopted(tmp_path / "links" / "out.h5", tmp_path / "links" / "link.h5", "x"), "x") as reader:
        assert np.array_equal(reader.read(0, 12), np.concatenate(PARTS))


def test_other_files_are_read_again(virtual, tmp_path):
    """Size and time of the adopted file do not show changes of its sources, so the pass before a run reads them."""
    out = adopted(tmp_path / "out.h5", virtual, "x")
    write_plain(tmp_path / "part2.h5", {"x": PARTS[2] + 1})
    _, problems = pass_over(out, ["x"])

    assert ["was changed after it was adopted" in str(each) for each in problems] == [True]


def remove(path):
    """Takes a source away."""
    path.unlink()


def shorten(path):
    """Makes a source shorter than what is mapped."""
    write_plain(path, {"x": PARTS[1][:3]})


def rename(path):
    """Gives the dataset of a source another name."""
    write_plain(path, {"other": PARTS[1]})


def damage(path):
    """Leaves the first bytes of a source."""
    path.write_bytes(path.read_bytes()[:100])


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (remove, "is virtual, and its source {} is not there; put it back"),
        (shorten, "is virtual, and x of its source {} has 6 values, not 8"),
        (rename, "is virtual, and its source {} has no dataset x"),
        (damage, "is virtual, and its source {} cannot be read"),
    ],
)
def test_a_source_that_is_not_there(virtual, tmp_path, spoil, said):
    """HDF5 would read fill values without an error: the source is named, at the adoption and afterwards."""
    out, source = adopted(tmp_path / "out.h5", virtual, "x"), tmp_path / "part1.h5"
    spoil(source)

    with pytest.raises(InputError, match=said.format(source)):
        adopted(tmp_path / "again.h5", virtual, "x")
    with open_array(out, "x") as reader, pytest.raises(InputError, match=said.format(source)):
        reader.read(0, 1)


def test_gaps_of_a_virtual_dataset(tmp_path):
    """Values that no source has are refused; a source may be virtual itself."""
    write_plain(tmp_path / "part.h5", {"x": PARTS[0]})
    for name, inside, rows in (("inner.h5", "part.h5", 5), ("outer.h5", "inner.h5", 5)):
        layout = h5py.VirtualLayout((rows, 2), np.int32)
        layout[: 4 if inside == "part.h5" else 5] = h5py.VirtualSource(
            inside, "x", (4 if inside == "part.h5" else 5, 2)
        )
        with h5py.File(tmp_path / name, "w") as file:
            file.create_virtual_dataset("x", layout)

    for name in ("inner.h5", "outer.h5"):
        with pytest.raises(InputError, match="is virtual and has no source for 2 of its 10 values"):
            adopted(tmp_path / "out.h5", tmp_path / name, "x")


def test_a_part_of_a_source(tmp_path):
    """A source of which some rows are mapped may be longer, but not shorter; an unlimited one is refused."""
    write_plain(tmp_path / "part.h5", {"x": PARTS[0]})
    layout = h5py.VirtualLayout((2, 2), np.int32)
    layout[:] = h5py.VirtualSource("part.h5", "x", (4, 2))[1:3]
    endless = h5py.VirtualLayout((4, 2), np.int32, maxshape=(None, 2))
    every = slice(0, h5py.h5s.UNLIMITED)
    endless[every] = h5py.VirtualSource("part.h5", "x", (4, 2), maxshape=(None, 2))[every]
    with h5py.File(tmp_path / "p.h5", "w") as file:
        file.create_virtual_dataset("x", layout)
        file.create_virtual_dataset("endless", endless)
    with open_array(adopted(tmp_path / "out.h5", tmp_path / "p.h5", "x"), "x") as reader:
        assert np.array_equal(reader.read(0, 2), PARTS[0][1:3])
    write_plain(tmp_path / "part.h5", {"x": PARTS[0][:2]})

    with pytest.raises(InputError, match=r"part.h5 has the shape \(2, 2\), not \(3, 2\) or more"):
        adopted(tmp_path / "again.h5", tmp_path / "p.h5", "x")
    with pytest.raises(InputError, match="endless: is virtual with sources of unlimited length"):
        adopted(tmp_path / "again.h5", tmp_path / "p.h5", "endless")


def test_external_storage(tmp_path):
    """Bytes of another file are read right; a file that is too short would give zeros, and is refused."""
    raw = tmp_path / "raw.bin"
    raw.write_bytes(np.arange(20, dtype=np.float32).tobytes())
    with h5py.File(tmp_path / "p.h5", "w") as file:
        file.create_dataset("x", (10, 2), "f4", external=[(str(raw), 0, 80)])
    out = adopted(tmp_path / "out.h5", tmp_path / "p.h5", "x")
    with open_array(out, "x") as reader:
        rows = reader.read(0, 10)
    raw.write_bytes(raw.read_bytes()[:50])

    assert rows.reshape(-1).tolist() == list(range(20))
    with pytest.raises(InputError, match="x: has its values in .*raw.bin, which has 50 bytes of 80"):
        adopted(tmp_path / "again.h5", tmp_path / "p.h5", "x")


def test_an_external_link(tmp_path):
    """The array that it leads to is adopted."""
    write_plain(tmp_path / "far.h5", {"g/x": PARTS[0]})
    with h5py.File(tmp_path / "p.h5", "w") as file:
        file["x"] = h5py.ExternalLink("far.h5", "/g/x")
    with open_array(adopted(tmp_path / "out.h5", tmp_path / "p.h5", "x"), "x") as reader:
        assert np.array_equal(reader.read(0, 4), PARTS[0])


def test_sealing_takes_no_fill_values(virtual, tmp_path):
    """`data seal` refuses a virtual dataset whose source is missing."""
    (tmp_path / "part2.h5").unlink()

    with pytest.raises(InputError, match="all.h5: x: is virtual, and its source .*part2.h5 is not there"):
        seal(tmp_path / "sealed.h5", virtual)
