"""Options of `data adopt` become names, datasets and a place."""

from __future__ import annotations

import pytest

from hpcmtl.data.adopting.options import missing_values, named_arrays, place_beside
from hpcmtl.data.adopting.plan import expanded
from hpcmtl.errors import InputError


def test_names_of_arrays():
    """A dataset in a group has its own name, or one that is given."""
    assert named_arrays(["x,/entry/y", "t=entry/data/y"]) == {"x": "x", "y": "entry/y", "t": "entry/data/y"}
    for bad in ("", "=x", "x=", "a/x,b/x"):
        with pytest.raises(InputError, match="--inputs, --targets"):
            named_arrays([bad])


def test_missing_values():
    """A number or nan for each array; other texts, and two numbers for one array, are refused."""
    assert missing_values(["y=-1, z=NaN", "w=9.5"]) == {"y": -1.0, "z": "nan", "w": 9.5}
    for bad in ("", "y", "y=", "=3", "y=none", "y=1,y=2"):
        with pytest.raises(InputError, match="--missing"):
            missing_values([bad])


def test_place_and_order_of_files(tmp_path, monkeypatch):
    """One file gets a neighbour; several need --to, and stand in natural order."""
    for name in ("s10.h5", "s9.h5", "s1.h5", "big.h5"):
        (tmp_path / name).touch()
    monkeypatch.chdir(tmp_path)

    assert place_beside(["big.h5"]) == tmp_path / "big.adopted.h5"
    assert [each.name for each in expanded(["s*.h5"])] == ["s1.h5", "s9.h5", "s10.h5"]
    with pytest.raises(InputError, match="--to: is missing: name the file to make for the 3 files"):
        place_beside(["s*.h5"])
