"""Tests of hpcmtl.data.batches: real files, all ranks of a group, both ways of reading, real damage."""

from __future__ import annotations

import dataclasses

import h5py
import numpy as np
import pytest

from hpcmtl.data.batches import Batches, BatchSpec
from hpcmtl.data.cursor import Cursor
from hpcmtl.data.reader import ArrayReader
from hpcmtl.data.samplers import BalancedSampler, FixedSampler, WeightedSampler
from hpcmtl.data.sources import Source
from hpcmtl.errors import InputError

START, END = Cursor(0, 0, 7), Cursor(2, 0, 7)
IN_MEMORY, FROM_DISC = 1 << 30, 0
budgets = pytest.mark.parametrize("budget", [IN_MEMORY, FROM_DISC], ids=["memory", "disc"])


def feed_of(path, batch_size=16, budget=IN_MEMORY, **more) -> BatchSpec:
    """Read the wide samples and their labels."""
    return BatchSpec((Source("x", path, "wide"), Source("y", path, "label")), batch_size, memory_budget=budget, **more)


def read(spec, group_rank=0, group_size=1, cursor=START, until=END) -> list:
    """Return all batches of one rank."""
    with Batches(spec, cursor, until, group_rank, group_size) as batches:
        return list(batches)


def epoch_samples(ranks: list, epoch: int) -> list:
    """Return the real samples of an epoch, step by step, ranks in order."""
    return [
        int(number)
        for step in zip(*ranks, strict=True)
        for batch in step
        if batch.cursor.epoch == epoch
        for number in batch.indices[batch.weights > 0]
    ]


@budgets
@pytest.mark.parametrize("group_size", [1, 2, 3, 5])
def test_a_group_of_any_size_sees_the_same_epochs(wide_file, budget, group_size):
    """Each train sample once an epoch, in one order for all group sizes, and rows that belong to their numbers."""
    alone = [read(feed_of(wide_file))]
    ranks = [read(feed_of(wide_file, budget=budget), rank, group_size) for rank in range(group_size)]

    for epoch in (0, 1):
        assert epoch_samples(ranks, epoch) == epoch_samples(alone, epoch)
        assert sorted(epoch_samples(ranks, epoch)) == [n for n in range(75) if n % 5 != 4]
    assert epoch_samples(ranks, 0) != epoch_samples(ranks, 1)
    for batch in (batch for rank in ranks for batch in rank):
        assert np.array_equal(batch.arrays["x"][:, 63, 5], batch.indices)
        assert np.array_equal(batch.arrays["y"], batch.indices % 3)
        assert (batch.arrays["x"].dtype, batch.weights.dtype) == (np.float32, np.float32)


def test_short_last_batch_is_weighted_right(wide_file):
    """60 samples in steps of 16: the fourth has 12, and over the group the weights of a step sum to its samples."""
    ranks = [read(feed_of(wide_file), rank, 3, until=Cursor(1, 0, 7)) for rank in range(3)]
    steps = [*zip(*ranks, strict=True)]

    assert [step[0].global_samples for step in steps] == [16, 16, 16, 12]
    assert all(sum(b.weights.sum() for b in step) == step[0].global_samples for step in steps)


@budgets
def test_a_rank_without_samples_takes_part_with_weight_zero(wide_file, budget):
    """In a batch of 2 for 4 ranks, two ranks compute the first sample of the batch for nothing."""
    ranks = [read(feed_of(wide_file, 2, budget), rank, 4, until=Cursor(0, 5, 7)) for rank in range(4)]

    for step in zip(*ranks, strict=True):
        (first, second) = [b for b in step if not b.filler]
        fillers = [b for b in step if b.filler]
        assert [b.weights.tolist() for b in (first, second, *fillers)] == [[1], [1], [0], [0]]
        assert {first.global_samples, second.global_samples} == {2}
        assert first.indices != second.indices
        assert [b.indices.tolist() for b in fillers] == [first.indices.tolist()] * 2
        assert all(np.array_equal(b.arrays["x"], first.arrays["x"]) for b in fillers)


@budgets
@pytest.mark.parametrize("cursor", [Cursor(0, 1, 7), Cursor(0, 3, 7), Cursor(1, 2, 7)])
def test_resume_gives_the_remaining_sequence(wide_file, budget, cursor):
    """From any cursor on, by another group size even, the batches are those of the uninterrupted run."""
    whole = [b for b in read(feed_of(wide_file)) if (b.cursor.epoch, b.cursor.step) >= (cursor.epoch, cursor.step)]
    ranks = [read(feed_of(wide_file, budget=budget), rank, 2, cursor) for rank in range(2)]

    assert [b.cursor for b in whole] == [b.cursor for b in ranks[0]] == [b.cursor for b in ranks[1]]
    for expected, *parts in zip(whole, *ranks, strict=True):
        assert np.array_equal(expected.indices, np.concatenate([b.indices for b in parts]))
        assert np.array_equal(expected.arrays["x"], np.concatenate([b.arrays["x"] for b in parts]))


@budgets
@pytest.mark.parametrize("cursor", [START, Cursor(0, 2, 7), Cursor(1, 4, 7)])
@pytest.mark.parametrize(
    "sampler",
    [
        BalancedSampler((np.arange(0, 60, 2), np.array([1, 3, 5]), np.array([7])), 83),
        WeightedSampler(np.cumsum(np.arange(60.0)), 70),
        FixedSampler(np.arange(0, 60, 7)),
    ],
)
def test_samplers_give_the_same_epochs_to_any_group(wide_file, budget, cursor, sampler):
    """From any step on, ranks share the sampled epochs of one rank; rows belong to their numbers, copies included."""
    more = {"sampler": sampler}
    per_epoch = -(-sampler.samples // 16)
    cursor = dataclasses.replace(cursor, step=min(cursor.step, per_epoch - 1))
    whole = [
        b for b in read(feed_of(wide_file, **more)) if (b.cursor.epoch, b.cursor.step) >= (cursor.epoch, cursor.step)
    ]
    ranks = [read(feed_of(wide_file, budget=budget, **more), rank, 3, cursor) for rank in range(3)]
    train = np.array([n for n in range(75) if n % 5 != 4])
    second = [n for b in whole if b.cursor.epoch == 1 for n in b.indices]

    for expected, *parts in zip(whole, *ranks, strict=True):
        assert np.array_equal(expected.indices, np.concatenate([b.indices for b in parts if not b.filler]))
        assert all(np.array_equal(b.arrays["x"][:, 5, 5], b.indices) for b in parts)
        assert {b.global_samples for b in parts} == {len(expected.indices)}
    if cursor.epoch == 0:
        assert sorted(second) == train[sampler.places(7, 1)].tolist()


def test_layers_join_without_gap(wide_file):
    """Two pieces that meet in the middle of an epoch are the whole."""
    middle = START.advance(4, 6)
    pieces = read(feed_of(wide_file), until=middle) + read(feed_of(wide_file), cursor=middle)

    assert [b.cursor for b in pieces] == [START.advance(4, n) for n in range(8)]
    assert epoch_samples([pieces], 1) == epoch_samples([read(feed_of(wide_file))], 1)


def test_sample_weights_multiply(wide_file):
    """A dataset of weights, here the number over ten, reaches the weights and not the arrays."""
    (batch, *_) = read(feed_of(wide_file, sample_weights=Source("w", wide_file, "weight")))

    np.testing.assert_allclose(batch.weights, batch.indices / 10, rtol=1e-6)
    assert set(batch.arrays) == {"x", "y"}


def test_a_weight_of_zero_makes_no_filler(wide_file):
    """Sample 0 has weight 0, and is a sample of its batch like the others."""
    ranks = [
        read(feed_of(wide_file, 1, sample_weights=Source("w", wide_file, "weight")), rank, 2, until=Cursor(1, 0, 7))
        for rank in range(2)
    ]
    (pair,) = [pair for pair in zip(*ranks, strict=True) if pair[0].indices[0] == 0]

    assert [batch.weights.tolist() for batch in pair] == [[0.0], [0.0]]
    assert sorted(batch.filler for batch in pair) == [False, True]


def test_sample_weights_are_one_number(wide_file):
    """Anything but one number a sample is refused as a weight."""
    with pytest.raises(InputError, match=r"wide: shape \(64, 1024\) for each sample"):
        read(feed_of(wide_file, sample_weights=Source("w", wide_file, "wide")))


@pytest.mark.parametrize(("budget", "reads_of_a_block"), [(48 << 20, 1), (1 << 20, 2)])
def test_blocks_are_read_once_or_once_an_epoch(wide_file, monkeypatch, budget, reads_of_a_block):
    """Two epochs cost one read of each block if the split fits in memory, else two."""
    reads = []
    stored, into = ArrayReader._stored, ArrayReader.read_into
    monkeypatch.setattr(ArrayReader, "_stored", lambda r, a, b: (reads.append((r, a // 4)), stored(r, a, b))[1])
    monkeypatch.setattr(ArrayReader, "read_into", lambda r, out, a: (reads.append((r, a // 4)), into(r, out, a))[1])
    read(feed_of(wide_file, budget=budget))
    wide = [block for reader, block in reads if reader.shape]

    assert sorted(wide) == sorted([*range(19)] * reads_of_a_block)


def test_validation_split(wide_file):
    """The same iterator serves the val split; its samples never meet those of train."""
    (batch, *_) = read(feed_of(wide_file, split="val"))

    assert sorted(batch.indices) == [9, 19, 29, 39, 49, 59, 69]


@budgets
def test_damage_under_way_is_raised_in_the_consumer(own_file, budget):
    """A chunk that is damaged after the checks ends the iteration with file and dataset, on no rank with silence."""
    with h5py.File(own_file) as file:
        offset = file["wide"].id.get_chunk_info(9).byte_offset
    with own_file.open("r+b") as file:
        file.seek(offset + 77)
        file.write(b"\xff")
    with pytest.raises(InputError, match=r"own\.h5: wide: cannot be read, the file is damaged"):
        read(feed_of(own_file, budget=budget))


@pytest.mark.parametrize("damage", ["truncated", "dataset removed", "file removed"])
def test_bad_files_are_refused_before_the_first_batch(own_file, damage):
    """Problems that metadata show are raised when the iterator is made."""
    if damage == "truncated":
        with own_file.open("r+b") as file:
            file.truncate(own_file.stat().st_size // 2)
    elif damage == "dataset removed":
        with h5py.File(own_file, "r+") as file:
            del file["label"]
    else:
        own_file.unlink()

    with pytest.raises(InputError, match=r"own\.h5"):
        Batches(feed_of(own_file), START, Cursor(1, 0, 7), 0, 1)


@budgets
def test_leaving_early_ends_the_thread(wide_file, budget):
    """A consumer that breaks off leaves no prefetch thread."""
    endless = Batches(feed_of(wide_file, budget=budget), START, Cursor(10**6, 0, 7), 0, 1)
    with endless as batches:
        next(batches)

    assert not endless._thread.is_alive()


def test_a_cursor_of_another_batch_size_is_refused(wide_file):
    """Step 4 of an epoch of 4 steps is a mistake of the caller."""
    with pytest.raises(ValueError, match="is not one of the 4 steps"):
        read(feed_of(wide_file), cursor=dataclasses.replace(START, step=4))
