"""Labels of which some are missing: weights of labels make the sum over a group's batch a mean over its known ones."""

from __future__ import annotations

import tracemalloc
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from hpcmtl.data.batches import Batches, BatchSpec
from hpcmtl.data.cursor import Cursor
from hpcmtl.data.hdf5 import publish_arrays, write_dataset_file
from hpcmtl.data.labels import Labels, balanced, known_labels, read_labels
from hpcmtl.data.missing import is_known
from hpcmtl.data.mixup import BatchMixup
from hpcmtl.data.padding import make_padding
from hpcmtl.data.sequences import sequences_of
from hpcmtl.data.sources import Source
from hpcmtl.errors import InputError

ROWS, TRAIN = 37, 30


@pytest.mark.parametrize("dtype", ["f4", "f8", "i1", "i8", "u1"])
@pytest.mark.parametrize("missing", ["nan", -1.0, 0.1, 3.0])
def test_missing_numbers(dtype, missing):
    """A number stands for itself as its type stores it, and NaN for NaN; whole numbers have no NaN."""
    values = np.array([0, 1, 3, 100], dtype)
    if np.dtype(dtype).kind == "f":
        values = np.append(values, np.array([np.nan, -1, 0.1], dtype))
    if dtype.startswith("i"):
        values = np.append(values, np.array([-1], dtype))
    expected = [not (np.isnan(v) if missing == "nan" else v == np.asarray(missing).astype(v.dtype)) for v in values]
    expected = [True if missing == 0.1 and values.dtype.kind != "f" else each for each in expected]

    if not (dtype == "u1" and missing == -1):  # which is 255 there
        assert is_known(values, missing).tolist() == expected
    else:
        assert is_known(values, missing).all()


def test_a_mask_of_samples_and_one_of_labels():
    """A number for each sample counts for all its labels."""
    values = np.zeros((2, 3))

    assert known_labels(values, None, np.array([1, 0])).tolist() == [[True] * 3, [False] * 3]
    assert known_labels(values, None, np.array([[1, 0, 1], [0, 0, 1]])).tolist() == [[1, 0, 1], [0, 0, 1]]


@settings(max_examples=60)
@given(arrays(np.int64, st.integers(1, 6), elements=st.integers(0, 50)).filter(lambda counts: counts.any()))
def test_balanced_weights(counts):
    """All classes with samples get the same sum of weights, and the mean weight of a sample is 1."""
    from sklearn.utils.class_weight import compute_class_weight

    weights = balanced(counts)
    labels = np.repeat(np.arange(len(counts)), counts)
    there = np.flatnonzero(counts)

    np.testing.assert_allclose(weights[there], compute_class_weight("balanced", classes=there, y=labels), rtol=1e-6)
    np.testing.assert_allclose((weights * counts)[there], counts.sum() / len(there), rtol=1e-6)
    assert not weights[counts == 0].any()


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    """Numbers, pairs of which any part is missing, and a mask; the labels are their own sample numbers."""
    generator = np.random.default_rng(2)
    number = np.arange(ROWS, dtype=np.int64)
    pair = np.column_stack([number, number + 0.5]).astype(np.float32)
    pair[generator.random(pair.shape) < 0.5] = np.nan
    one = np.where(generator.random(ROWS) < 0.4, -1, number)
    one[:8] = -1  # whole batches of 4
    content = {"one": one, "pair": pair, "number": number, "mask": (generator.random(ROWS) < 0.5).astype(np.uint8)}
    path = tmp_path_factory.mktemp("labels") / "rows.h5"
    split = (np.arange(ROWS) >= TRAIN).astype(int)
    write_dataset_file(path, content, split, {"pair": {"missing": np.nan}})
    return path


@settings(max_examples=25, deadline=None)
@given(
    size=st.integers(1, 40), ranks=st.integers(1, 5), seed=st.integers(0, 1000), budget=st.sampled_from([0, 1 << 20])
)
def test_the_sum_of_a_batch_is_the_mean_over_its_known_labels(file, size, ranks, seed, budget):
    """For any batch and group: missing numbers are replaced, and what a rank sees does not depend on the others."""
    numbers = np.arange(TRAIN)
    sources = [Source(key, file, key) for key in ("one", "pair", "number", "mask")]
    one, pair, number, mask = sources
    labels = {
        "one": read_labels(one, None, -1.0, None, numbers),
        "pair": read_labels(pair, None, "nan", None, numbers),
        "number": read_labels(number, mask, None, None, numbers),
    }
    spec = BatchSpec(tuple(sources), size, memory_budget=budget, labels=labels)
    shares = []
    for rank in range(ranks):
        with Batches(spec, Cursor(0, 0, seed), Cursor(1, 0, seed), rank, ranks) as batches:
            shares.append(list(batches))
    stored = read_all(file)
    assert len(shares[0]) == -(-TRAIN // size)
    for step in zip(*shares, strict=True):
        mine = [batch for batch in step if not batch.filler]
        rows = np.concatenate([batch.indices for batch in mine])
        known = {
            "one": stored["one"][rows] != -1,
            "pair": ~np.isnan(stored["pair"][rows]),
            "number": stored["mask"][rows] == 1,
        }
        for key, which in known.items():
            values = np.concatenate([batch.arrays[key] for batch in mine])
            factors = np.concatenate([batch.label_weights[key] for batch in mine])
            labels_of_one = which[0].size
            counted, total = which.sum() / labels_of_one, (values * factors).sum() / labels_of_one / len(rows)
            mean = stored[key][rows][which].mean() if counted else 0.0

            assert np.isfinite(values).all()
            assert ((factors > 0) == which).all()
            assert step[0].labelled[key] == pytest.approx(counted)
            assert total == pytest.approx(mean, rel=1e-5)
            assert {batch.labelled[key] for batch in step} == {step[0].labelled[key]}


def read_all(file):
    """The arrays of a file."""
    import h5py

    with h5py.File(file) as opened:
        return {name: opened[name][()] for name in opened}


def test_nothing_to_learn_from_is_refused(file):
    """Labels that are missing in all samples of a split are named with file and array."""
    with pytest.raises(InputError, match="rows.h5: one: none of the 8 labels to train on is known"):
        read_labels(Source("one", file, "one"), None, -1.0, None, np.arange(8))


@pytest.mark.parametrize(
    ("labels", "weights", "said"),
    [
        ([0, 1, -1], "balanced", "-1 is no number of a class"),
        ([0.0, 0.5, 1.0], "balanced", "0.5 is no number of a class"),
        ([0, 1, 2], (1.0, 2.0), "2 is no number of a class"),
        ([0.0, np.nan, 1.0], "balanced", "nan is no number of a class"),
    ],
)
def test_labels_that_are_no_classes_have_no_weights(tmp_path, labels, weights, said):
    """An array that another task made is refused with the label, before any of it is counted."""
    path = tmp_path / "made.h5"
    publish_arrays(path, {"y": np.array(labels)}, np.zeros(3, int))
    with pytest.raises(InputError, match=f"made.h5: y: {said}"):
        read_labels(Source("y", path, "y"), None, None, weights, np.arange(3))


def test_a_class_under_the_mask_alone_has_no_weight():
    """Balanced weights end at the highest known class; labels under the mask may be of others."""
    labels = Labels(None, "mask", 0, np.ones(4, np.float32), balanced(np.array([1, 1])))
    values, known = np.array([0, 1, 2, 2]), np.array([True, True, False, False])

    np.testing.assert_array_equal(labels.weights(values, known, 4, 2.0), [2, 2, 0, 0])


def test_a_mask_of_another_shape_is_refused():
    """It would be broadcast to labels that it does not belong to."""
    with pytest.raises(InputError, match=r"mask has shape \(1,\) a sample, and the labels have \(\)"):
        known_labels(np.zeros(4), None, np.ones((4, 1)))


def tokens_of(folder):
    """Returns the labels of 6 samples of 1 to 6 tokens, of which the first token of each has none."""
    path = folder / "tokens.h5"
    labels = [np.array([-1, *range(length)]) for length in range(6)]
    write_dataset_file(path, {"y": sequences_of(labels)}, np.array([0, 0, 0, 0, 0, 1], np.uint8))
    source = Source("y", path, "y")
    return replace(source, padding=make_padding(source.lengths(), (2, 4)))


@pytest.mark.parametrize(("mean_over", "divisor"), [("labelled", 0 + 1 + 2 + 3 + 4), ("batch", 1 + 2 + 3 + 4 + 5)])
def test_the_mean_over_tokens_does_not_depend_on_the_longest_sample(tmp_path, mean_over, divisor):
    """The losses of the tokens of a batch are divided by its labelled tokens, or by all; padding never counts."""
    target = tokens_of(tmp_path)
    labels = read_labels(target, None, -1, None, np.arange(5), mean_over=mean_over)
    with Batches(BatchSpec((target,), 5, labels={"y": labels}), Cursor(0, 0, 1), Cursor(1, 0, 1), 0, 1) as batches:
        batch = next(batches)
    factors = batch.label_weights["y"].mean(axis=1) / len(batch.indices)  # of the mean over places and samples

    assert batch.label_weights["y"].shape == (5, 6)
    assert factors.sum() == pytest.approx((0 + 1 + 2 + 3 + 4) / divisor)


@pytest.mark.parametrize("mean_over", ["labelled", "batch"])
def test_mixed_samples_have_the_mean_that_was_asked_for(tmp_path, mean_over):
    """With mixup, losses are divided by the labelled samples, each by its shares, or by all samples of the batch."""
    path = tmp_path / "half.h5"
    y = np.where(np.arange(400) % 2, -1, 3)
    write_dataset_file(path, {"x": np.ones((400, 1), np.float32), "y": y}, np.zeros(400, np.uint8))
    sources = Source("x", path, "x"), Source("y", path, "y")
    labels = read_labels(sources[1], None, -1, None, np.arange(400), mean_over=mean_over)
    spec = BatchSpec(sources, 400, labels={"y": labels}, mixup=BatchMixup(0.4, 1, ("x",)))
    with Batches(spec, Cursor(0, 0, 1), Cursor(1, 0, 1), 0, 1) as batches:
        batch = next(batches)
    shares, factors = batch.weights, batch.label_weights["y"]
    divisor = shares[factors > 0].sum() if mean_over == "labelled" else 400

    assert 180 < shares[factors > 0].sum() < 220
    np.testing.assert_allclose(factors[factors > 0], 400 / divisor, rtol=1e-5)


def test_the_memory_for_large_labels_is_bounded(tmp_path):
    """A split of 64 MiB of labels, such as masks of images, is read in pieces."""
    path = tmp_path / "masks.h5"
    write_dataset_file(path, {"y": np.ones((256, 512, 512), np.uint8)}, np.zeros(256, np.uint8))
    tracemalloc.start()
    try:
        read_labels(Source("y", path, "y"), None, 255, None, np.arange(256))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert peak < 48 << 20
