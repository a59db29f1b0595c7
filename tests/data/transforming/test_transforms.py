"""Chains of transforms: what a sample becomes, and on what that depends."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as some

from hpcmtl.data.batches import Batches, BatchSpec
from hpcmtl.data.cursor import Cursor
from hpcmtl.data.hdf5 import write_dataset_file
from hpcmtl.data.sequential import sequential_batches
from hpcmtl.data.sources import Source
from hpcmtl.data.transforming.transforms import TransformChain, require_repeatable
from hpcmtl.errors import InputError
from hpcmtl.jobfile.transforms import Crop, Cutout, Flip, Noise, Normalise, OwnTransform

IMAGES = np.random.default_rng(0).normal(size=(61, 1, 6, 6)).astype(np.float32)
ALL = (
    Normalise(mean=(0.5,), deviation=(2.0,)),
    Flip(),
    Crop(padding=1),
    Noise(deviation=0.1),
    Cutout(size=2),
    OwnTransform(name="own_transforms:jittered"),
)


@given(order=some.permutations(range(20)), cuts=some.lists(some.integers(0, 20), max_size=3))
def test_a_sample_is_changed_alike_in_any_batch(order, cuts):
    """All transforms at once: the same bits of a sample in any batch and at any place."""
    chain, order = TransformChain(ALL, 3), np.array(order)
    whole = chain.changed(IMAGES[:20], np.arange(20), 4)
    parts = [chain.changed(IMAGES[part], part, 4) for part in np.split(order, sorted(cuts)) if len(part)]

    assert np.array_equal(whole[order], np.concatenate(parts))
    assert not np.array_equal(whole, chain.changed(IMAGES[:20], np.arange(20), 5))


def test_train_and_all_are_told_apart():
    """Outside of training only transforms `on: all` are made, with the same random numbers every time."""
    chain = TransformChain([ALL[0], Noise(deviation=1.0), Noise(deviation=0.1, on="all")], 3)
    found = [chain.changed(IMAGES, np.arange(61), epoch) for epoch in (None, None, 0)]

    assert np.array_equal(found[0], found[1])
    assert (found[0] - (IMAGES - 0.5) / 2).std() == pytest.approx(0.1, rel=0.1)
    assert (found[2] - (IMAGES - 0.5) / 2).std() == pytest.approx(1.0, rel=0.1)
    assert chain.everywhere == (ALL[0], Noise(deviation=0.1, on="all"))


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    """A file of the images and their numbers; three quarters of the samples are train."""
    path = tmp_path_factory.mktemp("transforms") / "images.h5"
    write_dataset_file(path, {"x": IMAGES, "y": np.arange(61)}, np.where(np.arange(61) % 4, 0, 1))
    return path


@pytest.mark.parametrize("budget", [0, 1 << 30], ids=["disc", "memory"])
@pytest.mark.parametrize("ranks", [1, 2, 3])
def test_batches_hold_changed_samples(file, ranks, budget):
    """On any number of ranks, from memory or disc and from the middle of an epoch on: the samples of the chain."""
    chain = TransformChain(ALL, 3)
    sources = (Source("x", file, "x", transform=chain), Source("y", file, "y"))
    spec = BatchSpec(sources, 7, memory_budget=budget)
    seen = 0
    for rank in range(ranks):
        with Batches(spec, Cursor(0, 4, 1), Cursor(2, 0, 1), rank, ranks) as batches:
            for batch in batches:
                expected = chain.changed(IMAGES[batch.indices], batch.indices, batch.cursor.epoch)
                assert np.array_equal(batch.arrays["x"], expected)
                assert np.array_equal(batch.arrays["y"], batch.indices)
                seen += 0 if batch.filler else len(batch.indices)

    assert seen == (45 - 4 * 7) + 45


def test_rows_in_stored_order_are_those_outside_of_training(file):
    """Validation and evaluation see samples without the transforms of training."""
    chain = TransformChain(ALL, 3)
    with sequential_batches([Source("x", file, "x", transform=chain)], ["val"], 5, 0, 1) as batches:
        found = np.concatenate([arrays["x"] for _, arrays in batches])

    assert np.array_equal(found, (IMAGES[::4] - np.float32(0.5)) / np.float32(2))


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("of_global_numbers", "give other values when they are called again for the same samples and epoch; draw"),
        ("of_the_batch", "when other samples are in its batch, so that results would depend on the number of ranks"),
    ],
)
def test_what_depends_on_the_batch_or_on_chance_is_refused(name, said):
    """A function that draws elsewhere, or looks at its batch, would train otherwise on other ranks."""
    chain = TransformChain([OwnTransform(name=f"own_transforms:{name}")], 3)
    with pytest.raises(InputError, match=said):
        require_repeatable(chain, IMAGES[:8], np.arange(8))
    require_repeatable(TransformChain(ALL, 3), IMAGES[:8], np.arange(8))
