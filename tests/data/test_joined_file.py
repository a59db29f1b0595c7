"""Tests of hpcmtl.data.joined_file: rows of real files, one behind the other, as numpy concatenates them."""

from __future__ import annotations

import numpy as np
import pytest

from hpcmtl.data.batches import Batches, BatchSpec
from hpcmtl.data.cursor import Cursor
from hpcmtl.data.hdf5 import write_dataset_file
from hpcmtl.data.in_memory_file import InMemoryFile
from hpcmtl.data.joined_file import ConstantRows, JoinedFile, RepeatedRow, StoredRows
from hpcmtl.data.mixed_epochs import MixedEpochs
from hpcmtl.data.mixture import Mixture
from hpcmtl.data.sources import Source, check_sources, selected

LEFT, RIGHT = 23, 11


@pytest.fixture
def joined(tmp_path):
    """Join a file with two arrays, one of them scaled, and another task's array in memory."""
    generator = np.random.default_rng(2)
    x, y = generator.integers(0, 255, (LEFT, 3)).astype(np.uint8), np.arange(LEFT, dtype=np.int32) + 5
    split = np.arange(LEFT) % 3
    write_dataset_file(tmp_path / "left.h5", {"x": x, "y": y}, split, {"x": {"scale": 0.5}})
    other = generator.normal(size=(RIGHT, 3)).astype(np.float32)
    codes = np.zeros(RIGHT, np.uint8)
    left = [Source(name, tmp_path / "left.h5", name) for name in ("x", "y")]
    right = Source("x", tmp_path / "right.h5", "x", InMemoryFile(tmp_path / "right.h5", {"x": other}, codes))
    arrays = {
        "x": (StoredRows(left[0]), StoredRows(right)),
        "y": (StoredRows(left[1]), RepeatedRow(left[1])),
        "owned": (ConstantRows(1.0), ConstantRows(0.0)),
    }
    content = JoinedFile(tmp_path / "both", (LEFT, RIGHT), arrays, np.concatenate([split.astype(np.uint8), codes]))
    wanted = {
        "x": np.concatenate([x * np.float32(0.5), other]),
        "y": np.concatenate([y, np.full(RIGHT, 5)]),
        "owned": np.repeat([1.0, 0.0], [LEFT, RIGHT]),
    }
    return content, wanted


def sources_of(content):
    """Make a source for each array."""
    return tuple(Source(name, content.path, name, joined=content) for name in content.arrays)


def test_rows_are_those_of_the_files(joined):
    """Any rows, in any order and across the border, are those of the concatenated arrays, in a type that holds them."""
    content, wanted = joined
    numbers = np.random.default_rng(1).permutation(LEFT + RIGHT)

    described = check_sources(sources_of(content))
    assert [(each.shape, str(each.dtype)) for each in described] == [((3,), "float32"), ((), "int32"), ((), "float32")]
    for source in sources_of(content):
        with source.opened() as reader:
            np.testing.assert_array_equal(reader.rows(numbers, lambda: None), wanted[source.dataset][numbers])
            np.testing.assert_array_equal(reader.read(20, 27), wanted[source.dataset][20:27])
    assert content.bytes == RIGHT * 3 * 4


@pytest.mark.parametrize("budget", [1 << 30, 0], ids=["memory", "disc"])
@pytest.mark.parametrize("ranks", [1, 3])
def test_batches_of_several_sets(joined, budget, ranks):
    """The steps of a mixture have the rows of its order, also from a position in the middle, on any number of ranks."""
    content, wanted = joined
    sources = sources_of(content)
    indices = selected(sources, ["train"])
    members = tuple(np.flatnonzero(each) for each in (indices < LEFT, indices >= LEFT))
    mixture = Mixture(how="equal", names=("a", "b"), sizes=(8, 11), batch_size=4, steps=6, oversample=True)
    plan = MixedEpochs(mixture, members)
    spec = BatchSpec(sources, 4, memory_budget=budget, epochs=plan)
    order = np.concatenate([plan.order(indices, LEFT + RIGHT, 7, epoch) for epoch in (0, 1)])
    found = []
    for rank in range(ranks):
        with Batches(spec, Cursor(0, 2, 7), Cursor(2, 0, 7), rank, ranks) as batches:
            found.append(list(batches))

    for number, step in enumerate(zip(*found, strict=True), start=2):
        numbers = np.concatenate([each.indices[each.weights > 0] for each in step])
        assert np.array_equal(numbers, order[4 * number : 4 * number + 4])
        for batch in step:
            for name, rows in batch.arrays.items():
                np.testing.assert_array_equal(rows, wanted[name][batch.indices])


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_a_number_a_sample_stands_for_all_its_labels(tmp_path, order):
    """Masks of samples and masks of labels are joined, also where there are as many samples as labels."""
    masks = np.array([1, 0, 1]), np.array([[0, 0, 1], [1, 1, 0], [0, 1, 0]])
    whole = np.repeat(masks[0][:, None], 3, axis=1), masks[1]
    parts = []
    for number in order:
        path = tmp_path / f"{number}.h5"
        write_dataset_file(path, {"mask": masks[number]}, np.zeros(3, np.uint8))
        parts.append(StoredRows(Source("mask", path, "mask")))
    content = JoinedFile(tmp_path / "both", (3, 3), {"mask": tuple(parts)}, np.zeros(6, np.uint8))
    with Source("mask", content.path, "mask", joined=content).opened() as reader:
        np.testing.assert_array_equal(reader.read(0, 6), np.concatenate([whole[number] for number in order]))
