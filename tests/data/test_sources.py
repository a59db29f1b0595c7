"""Tests of hpcmtl.data.sources."""

from __future__ import annotations

import numpy as np
import pytest

from hpcmtl.data.hdf5 import write_dataset_file
from hpcmtl.data.sources import Source, check_sources, selected
from hpcmtl.errors import InputError


def test_descriptions_follow_the_sources(wide_file):
    """The caller learns shape and type of each source, in its order."""
    found = check_sources([Source("y", wide_file, "label"), Source("x", wide_file, "wide")])

    assert [dataset.name for dataset in found] == ["label", "wide"]


def test_files_that_do_not_belong_together(wide_file, tmp_path):
    """Another number of samples, and another split, are refused with both files named."""
    write_dataset_file(tmp_path / "short.h5", {"x": np.zeros(74)}, np.zeros(74, int))
    write_dataset_file(tmp_path / "leaky.h5", {"x": np.zeros(75)}, np.zeros(75, int))
    sources = [Source("x", wide_file, "wide")]
    sources += [Source(name, tmp_path / f"{name}.h5", "x") for name in ("short", "leaky")]
    with pytest.raises(InputError) as caught:
        check_sources(sources)

    assert f"short.h5: 74 samples, but {wide_file} has 75" in str(caught.value)
    assert f"leaky.h5: split: differs from that of {wide_file}" in str(caught.value)


def test_all_bad_sources_at_once(wide_file, tmp_path):
    """A missing file and an unknown dataset are two problems of one error."""
    with pytest.raises(InputError) as caught:
        check_sources([Source("x", wide_file, "wde"), Source("y", tmp_path / "no.h5", "y")])

    assert len(caught.value.problems) == 2


def test_empty_and_unknown_splits(tmp_path):
    """A split without samples, or of another name, cannot be trained on."""
    path = tmp_path / "f.h5"
    write_dataset_file(path, {"x": np.zeros(3)}, np.zeros(3, int))
    sources = [Source("x", path, "x")]

    with pytest.raises(InputError, match="no sample is in val or test"):
        selected(sources, ["val", "test"])
    with pytest.raises(InputError, match="no split 'tests'; did you mean 'test'"):
        selected(sources, ["tests"])
