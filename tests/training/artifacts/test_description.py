"""A description goes into a file and comes out of it, however large, and what is not understood is said."""

import h5py
import numpy as np
import pytest

from hpcmtl.networks.description import Leaf
from hpcmtl.networks.models import Mlp
from hpcmtl.training.artifacts.description import (
    ArtifactDescription,
    InputFormat,
    OutputFormat,
    ParentRecord,
    description_from_json,
    description_in,
    file_attributes,
)

MADE = ArtifactDescription(
    content="data",
    job="job",
    task="scores",
    kind="predict",
    framework="gluon",
    network=Leaf(Mlp(widths=(3,), outputs=4000)),
    part="body",
    inputs={"input": InputFormat(reference="a/x", shape=(1, 2), dtype="float32", stored_dtype="uint8", scale=0.5)},
    outputs={
        "second": OutputFormat(shape=(4000,), classes=tuple(f"a class with the number {n}" for n in range(4000))),
        "first": OutputFormat(shape=None, loss="l2", target="a/y"),
    },
    metrics={"loss": 0.25},
    versions={"numpy": np.__version__},
    parents=(ParentRecord(name="net", edge="parameters", path="net.h5"),),
    modules=("/some/folder",),
)


def test_a_large_description_goes_round(tmp_path):
    """More than the 64 KiB that HDF5 once allowed for attributes are kept, with the order of the outputs."""
    assert len(file_attributes(MADE)["description"]) > 1 << 16
    with h5py.File(tmp_path / "file.h5", "w", libver=("v110", "v110")) as file:
        file.attrs.update(file_attributes(MADE))
    with h5py.File(tmp_path / "file.h5") as file:
        found = description_in(file.attrs)

    assert found == MADE
    assert list(found.outputs) == ["second", "first"]


def test_a_file_without_a_description():
    """An earlier version wrote none."""
    assert description_in({"sealed": True}) is None


def test_a_newer_format_is_refused():
    """The message has both formats."""
    with pytest.raises(ValueError, match="has format 2; this hpcmtl reads format 1"):
        description_from_json({**MADE.to_json(), "format": 2})


def test_what_is_no_description_is_refused():
    """A key that is missing is named."""
    values = MADE.to_json()
    del values["task"]

    with pytest.raises(ValueError, match="cannot be read .*task"):
        description_from_json(values)
