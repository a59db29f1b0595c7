"""A sealed file holds what was sealed, or is refused: never something else."""

from __future__ import annotations

import fcntl
import json

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from hpcmtl.errors import DirectoryGoneError
from hpcmtl.exchange.store import DamagedFileError, read_sealed, seal

ARRAYS = {
    "parameters/a.weight": np.arange(600, dtype=np.float32).reshape(20, 30),
    "parameters/a.bias": np.linspace(-1, 1, 20, dtype=np.float32),
    "optimizer/a.weight/0": np.full((3, 2), np.nan, np.float16),
    "counts": np.array([1, 2, 3]),
    "empty": np.zeros((0, 4)),
    "scalar": np.array(2.5),
}
FACTS = {"task": "digit", "step": 120, "metrics": {"loss": 0.25}, "none": None}

names = st.from_regex(r"[a-z]{1,8}(/[a-z][a-z.0-9]{0,7}){0,2}", fullmatch=True)
arrays = npst.arrays(
    st.sampled_from([np.float16, np.float32, np.float64, np.int64, np.uint8]),
    npst.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=5),
)


@pytest.fixture
def sealed(tmp_path):
    """A good file."""
    seal(tmp_path / "good.h5", ARRAYS, FACTS)
    return tmp_path / "good.h5"


def same(found, expected):
    """Returns true if arrays have the same names, dtypes, shapes and bits."""
    return found.keys() == expected.keys() and all(
        (found[name].dtype, found[name].shape, found[name].tobytes()) == (array.dtype, array.shape, array.tobytes())
        for name, array in expected.items()
    )


def test_goes_round(sealed):
    """Arrays come back bit for bit, NaN, empty and scalar ones too, and so do the facts."""
    found, facts = read_sealed(sealed)

    assert same(found, ARRAYS)
    assert facts == FACTS


@settings(max_examples=min(20, settings.default.max_examples))
@given(st.dictionaries(names, arrays, max_size=4))
def test_any_arrays_go_round(tmp_path, given_arrays):
    """Whatever their dtypes and shapes."""
    leaves = {name: a for name, a in given_arrays.items() if not any(o.startswith(name + "/") for o in given_arrays)}
    seal(tmp_path / "any.h5", leaves, {})

    assert same(read_sealed(tmp_path / "any.h5")[0], leaves)


def test_a_lock_of_somebody_else_is_no_obstacle(sealed):
    """Many ranks read a file at once, and some file systems refuse locks: reading takes none."""
    with sealed.open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)

        assert read_sealed(sealed)[0]


def test_the_order_of_names_leaves_no_trace(tmp_path, sealed):
    """Arrays and facts that are given in another order make the same manifest, and come back sorted by name."""
    turned = tmp_path / "turned.h5"
    seal(turned, dict(reversed(ARRAYS.items())), dict(reversed(FACTS.items())))

    assert [*read_sealed(turned)[0]] == [*read_sealed(sealed)[0]] == sorted(ARRAYS)
    with h5py.File(turned) as one, h5py.File(sealed) as other:
        assert one.attrs["manifest"] == other.attrs["manifest"]


def test_a_prefix_chooses(sealed):
    """Only the arrays whose names begin with it are read."""
    assert set(read_sealed(sealed, "parameters/")[0]) == {"parameters/a.weight", "parameters/a.bias"}


def test_thousands_of_arrays(tmp_path):
    """A deep network with its optimizer state: names that fill more than HDF5 gives an attribute."""
    many = {f"optimizer/stage{number}.unit.convolution.weight/0.{number}": np.array([number]) for number in range(1000)}
    seal(tmp_path / "many.h5", many, {})

    assert same(read_sealed(tmp_path / "many.h5")[0], many)


def test_sealing_again_replaces(sealed):
    """The old content goes with the old file; nothing else stays in the folder."""
    seal(sealed, {"b": np.ones(2)}, {"step": 121})
    found, facts = read_sealed(sealed)

    assert same(found, {"b": np.ones(2)})
    assert facts == {"step": 121}
    assert [path.name for path in sealed.parent.iterdir()] == ["good.h5"]


def test_a_seal_that_fails_leaves_the_old_file(sealed):
    """A failed write does no harm to the file that was there, and leaves nothing behind."""
    with pytest.raises(TypeError):
        seal(sealed, {"a": np.ones(2)}, {"group": object()})

    assert same(read_sealed(sealed)[0], ARRAYS)
    assert [path.name for path in sealed.parent.iterdir()] == ["good.h5"]


def test_folders_are_made(tmp_path):
    """The first checkpoint of a task makes the task's folder."""
    seal(tmp_path / "digit" / "layer-000.h5", ARRAYS, FACTS)

    assert read_sealed(tmp_path / "digit" / "layer-000.h5")[1] == FACTS


def test_missing_and_unsealed_files_are_refused(tmp_path):
    """With the name of the file, and what is wrong with it."""
    with h5py.File(tmp_path / "unsealed.h5", "w") as file:
        file["a"] = np.ones(3)
        file.attrs["names"] = json.dumps(["a"])
    (tmp_path / "text.h5").write_text("not HDF5 at all")

    for name, said in [("none.h5", "cannot be read"), ("text.h5", "cannot be read"), ("unsealed.h5", "is not sealed")]:
        with pytest.raises(DamagedFileError, match=f"{name} {said}"):
            read_sealed(tmp_path / name)


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.9, 0.999])
def test_truncated_files_are_refused(sealed, share):
    """Whatever part of it is left."""
    content = sealed.read_bytes()
    sealed.write_bytes(content[: int(share * len(content))])

    with pytest.raises(DamagedFileError, match="good.h5"):
        read_sealed(sealed)


def test_a_changed_array_is_named(sealed):
    """One value that differs is found by the checksum of its array."""
    with h5py.File(sealed, "r+") as file:
        file["parameters/a.weight"][3, 4] += 1e-3

    with pytest.raises(DamagedFileError, match="array parameters/a.weight differs from its checksum"):
        read_sealed(sealed)


def test_many_long_names(tmp_path):
    """The description of arrays may take more than the 64 KiB that HDF5 has for short attributes."""
    arrays = {f"parameters/{'long' * 20}{number}.ä": np.array([number]) for number in range(1000)}
    seal(tmp_path / "many.h5", arrays, FACTS)

    assert same(read_sealed(tmp_path / "many.h5")[0], arrays)


@settings(max_examples=min(120, settings.default.max_examples))
@given(st.floats(0, 1, exclude_max=True), st.integers(1, 255))
def test_no_flipped_byte_goes_unseen(tmp_path, place, mask):
    """Any byte may be damaged, of the arrays or of what describes them: all is as it was, or the file is refused."""
    path = tmp_path / "flipped.h5"
    seal(path, ARRAYS, FACTS)
    content = bytearray(path.read_bytes())
    content[int(place * len(content))] ^= mask
    path.write_bytes(bytes(content))
    refused = None
    try:
        found, facts = read_sealed(path)
    except DamagedFileError as error:
        refused = str(error)

    assert "flipped.h5" in refused if refused else (same(found, ARRAYS) and facts == FACTS)


def test_a_directory_that_was_renamed_is_not_made_again(tmp_path):
    """A run directory that has gone from its path is said so; a new one at the old path would split the run in two."""
    with pytest.raises(DirectoryGoneError, match="it was renamed or removed while the run went on"):
        seal(tmp_path / "run" / "artifacts" / "digit.h5", ARRAYS, FACTS)

    assert list(tmp_path.iterdir()) == []
