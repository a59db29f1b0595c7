"""Mixup: shares of the beta distribution, partners in the batch, and mixed samples that do not depend on the ranks."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpcmtl.data.batches import Batches, BatchSpec
from hpcmtl.data.cursor import Cursor
from hpcmtl.data.hdf5 import write_dataset_file
from hpcmtl.data.mixup import BatchMixup
from hpcmtl.data.sources import Source

SAMPLES, BATCH = 500, 64
MIXUP = BatchMixup(0.4, 3, ("x",))


@pytest.mark.parametrize("alpha", [0.01, 0.2, 1.0, 2.5, 30.0])
def test_shares_have_the_beta_distribution(alpha):
    """The distribution of 20,000 shares is that of scipy, also where nearly all are 0 or 1."""
    stats = pytest.importorskip("scipy.stats")
    shares = BatchMixup(alpha, 5, ("x",)).shares(np.arange(20_000), 2)
    tested = shares[(shares > 1e-12) & (shares < 1 - 1e-12)]  # elsewhere neighbouring floats are far apart
    edges = stats.beta.cdf([1e-12, 1 - 1e-12], alpha, alpha)

    assert ((shares >= 0) & (shares <= 1)).all()
    assert len(tested) / len(shares) == pytest.approx(edges[1] - edges[0], abs=0.02)
    cut = (stats.beta.cdf(tested, alpha, alpha) - edges[0]) / (edges[1] - edges[0])
    assert stats.kstest(cut, "uniform").pvalue > 1e-3


@given(st.lists(st.integers(0, 10**9), min_size=1, max_size=50), st.integers(0, 2**40), st.integers(0, 99))
def test_shares_belong_to_the_sample_and_partners_to_the_batch(numbers, seed, epoch):
    """A share is the same in another batch; the partners are a permutation of the batch."""
    mixup, given_numbers = BatchMixup(0.2, seed, ("x",)), np.array(numbers)
    shares = mixup.shares(given_numbers, epoch)

    assert np.array_equal(shares[::-1], mixup.shares(given_numbers[::-1], epoch))
    assert all(mixup.shares(each[None], epoch)[0] == share for each, share in zip(given_numbers, shares, strict=True))
    assert sorted(mixup.partners(given_numbers, epoch)) == list(range(len(numbers)))


def test_partners_are_drawn_again_in_each_epoch():
    """Every sample of a batch is somebody's partner, rarely its own, and another one's in the next epoch."""
    numbers = np.arange(1000)
    first, second = (MIXUP.partners(numbers, epoch) for epoch in (0, 1))

    assert (first == numbers).sum() < 10
    assert (first == second).sum() < 10


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """Returns the source of an array in a file of several blocks, whose values are the sample and its double."""
    path = tmp_path_factory.mktemp("mixup") / "rows.h5"
    x = np.repeat(np.arange(SAMPLES, dtype=np.float32)[:, None], 8000, axis=1)
    write_dataset_file(path, {"x": x, "y": np.arange(SAMPLES)}, np.zeros(SAMPLES, np.uint8))
    return lambda name: Source(name, path, name)


def steps_of(source, rank, ranks, **options):
    """Returns the batches of one rank in two epochs."""
    spec = BatchSpec((source("x"), source("y")), BATCH, mixup=MIXUP, **options)
    with Batches(spec, Cursor(0, 0, 9), Cursor(2, 0, 9), rank, ranks) as batches:
        return list(batches)


@pytest.mark.parametrize(("ranks", "options"), [(1, {"memory_budget": 0}), (3, {}), (3, {"memory_budget": 0})])
def test_any_number_of_ranks_has_the_same_mixed_batch(source, ranks, options):
    """Inputs, targets and weights of all ranks together are those of one, in memory and by windows of blocks."""
    alone = steps_of(source, 0, 1)
    parts = zip(*(steps_of(source, rank, ranks, **options) for rank in range(ranks)), strict=True)

    for whole, shares in zip(alone, parts, strict=True):
        assert np.array_equal(np.concatenate([each.indices for each in shares]), whole.indices)
        for key, array in whole.arrays.items():
            assert np.array_equal(np.concatenate([each.arrays[key] for each in shares]), array)
        assert np.array_equal(np.concatenate([each.weights for each in shares]), whole.weights)


def test_a_row_is_mixed_as_its_targets(source):
    """Inputs are the means of the inputs of both targets, by their weights, which have the sum 1."""
    mixed = 0
    for batch in steps_of(source, 1, 3):
        targets, weights = batch.arrays["y"].reshape(-1, 2), batch.weights.reshape(-1, 2)

        np.testing.assert_allclose(weights.sum(axis=1), 1, rtol=1e-6)
        np.testing.assert_allclose(batch.arrays["x"][:, 0], (targets * weights).sum(axis=1), rtol=1e-5, atol=1e-3)
        assert np.array_equal(targets[:, 0], batch.indices)
        assert batch.targets_per_row == 2
        mixed += (targets[:, 0] != targets[:, 1]).sum()
    assert mixed > SAMPLES // 2


def test_a_rank_without_a_sample_counts_nothing(source):
    """A filler has its two targets with the weight 0."""
    batch = steps_of(source, 0, BATCH + 1)[0]

    assert batch.filler
    assert np.array_equal(batch.weights, [0, 0])


def test_the_first_batch_of_a_long_epoch_does_not_wait_for_the_shares_of_all(tmp_path, monkeypatch):
    """Shares are made for some steps at once, those of a resumed epoch from its step on, and each once."""
    made, shares = [], BatchMixup.shares

    def counted(mixup, numbers, epoch):
        made.append(len(numbers))
        return shares(mixup, numbers, epoch)

    monkeypatch.setattr(BatchMixup, "shares", counted)
    path, rows = tmp_path / "long.h5", 100_000
    write_dataset_file(path, {"x": np.ones(rows, np.float32)}, np.zeros(rows, np.uint8))
    spec = BatchSpec((Source("x", path, "x"),), 10, mixup=MIXUP)
    with Batches(spec, Cursor(0, 5, 9), Cursor(1, 0, 9), 0, 1) as batches:
        next(batches)
        first = list(made)
        rest = sum(1 for _ in batches)

    assert first
    assert sum(first) <= 20_000
    assert rest == rows // 10 - 6
    assert rows <= sum(made) + 50 <= rows + 10 * len(made)
    assert len(made) < 20
