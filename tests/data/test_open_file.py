"""A file that HDF5 cannot read is refused with the reason and a remedy."""

from __future__ import annotations

import shutil
import subprocess
import sys

import h5py
import numpy as np
import pytest

from hpcmtl.data.hdf5 import describe
from hpcmtl.data.reader import open_array
from hpcmtl.data.values import check_finite
from hpcmtl.errors import InputError

HOLDER = """
import sys, h5py
file = h5py.File(sys.argv[1], "r+", libver="latest")
if sys.argv[2] == "swmr":
    file.swmr_mode = True
print("open", flush=True)
sys.stdin.read()
"""


@pytest.mark.parametrize("mode", ["swmr", "plain"])
def test_a_file_that_is_open_for_writing(own_file, mode):
    """Another program writes to it, by SWMR or not: it is neither truncated nor damaged."""
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER, own_file, mode], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    with holder:
        assert holder.stdout.readline() == "open\n"
        with pytest.raises(InputError, match="is open for writing .* in another program: close it there"):
            describe(own_file)
        holder.stdin.close()


@pytest.mark.parametrize(
    ("link", "said"),
    [
        (h5py.SoftLink("/nothing"), "gone: is a soft link to /nothing, which is not there"),
        (h5py.ExternalLink("no.h5", "/x"), "gone: is an external link to /x of the file no.h5, which is not there"),
    ],
)
def test_links_that_lead_nowhere(own_file, link, said):
    """The link, and not the file, is at fault; a link that leads somewhere is read."""
    with h5py.File(own_file, "r+") as file:
        file["alias"] = h5py.SoftLink("/label")
    assert describe(own_file).datasets["alias"].dtype == np.int64
    with h5py.File(own_file, "r+") as file:
        file["gone"] = link

    with pytest.raises(InputError) as error:
        describe(own_file)
    assert said in str(error.value)


def linked(file, other):
    """Adds a link to an array of another file, and a soft link to that."""
    file["away"] = h5py.ExternalLink(other, "/label")
    file["far"] = h5py.SoftLink("/away")


def stored(file, other):
    """Adds an array whose bytes lie in another file."""
    file.create_dataset("away", (75,), "u1", external=[(other, 0, 75)])


def mapped(file, other):
    """Adds a virtual array of another file's."""
    layout = h5py.VirtualLayout((75,), np.int64)
    layout[:] = h5py.VirtualSource(other, "label", (75,))
    file.create_virtual_dataset("away", layout)


@pytest.mark.parametrize("add", [linked, stored, mapped])
def test_values_in_other_files_are_refused(own_file, tmp_path, monkeypatch, add):
    """Links, storage and virtual arrays in other files are refused by name, and read if the user asks for it."""
    other = tmp_path / "other.h5"
    shutil.copy(own_file, other)
    with h5py.File(own_file, "r+") as file:
        add(file, str(other))

    with pytest.raises(InputError, match=rf"away: has its values in other files: {other}; .*HPCMTL_HDF5_EXTERNAL=1"):
        describe(own_file)

    monkeypatch.setenv("HPCMTL_HDF5_EXTERNAL", "1")

    assert "away" in describe(own_file).datasets


def test_a_virtual_array_of_the_same_file_is_read(own_file):
    """A virtual array of the file's own arrays is no other file."""
    with h5py.File(own_file, "r+") as file:
        layout = h5py.VirtualLayout((75,), np.int64)
        layout[:] = h5py.VirtualSource(".", "label", (75,))
        file.create_virtual_dataset("again", layout)

    assert "again" in describe(own_file).datasets


@pytest.fixture
def compressed(own_file):
    """A file with an array that is compressed by LZ4, whose filter HDF5 does not bring along."""
    with h5py.File(own_file, "r+") as file:
        properties = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        properties.set_chunk((75,))
        properties.set_filter(32004, h5py.h5z.FLAG_OPTIONAL, (0,))
        space = h5py.h5s.create_simple((75,))
        made = h5py.h5d.create(file.id, b"squeezed", h5py.h5t.NATIVE_INT32, space, dcpl=properties)
        made.write_direct_chunk((0,), b"abc" * 20, 0)
    return own_file


def test_a_filter_that_is_not_installed(compressed):
    """The pass over the values and a reader name the filter, and what to install."""
    said = r"squeezed: is compressed by filter 32004.*, which this HDF5 lacks; install hdf5plugin"

    with pytest.raises(InputError, match=said):
        check_finite(compressed, ["squeezed"])
    with open_array(compressed, "squeezed") as reader, pytest.raises(InputError, match=said):
        reader.read(0, 10)
