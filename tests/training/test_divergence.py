"""Arrays of ranks are compared bit by bit, and what differs is named with its ranks."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from hpcmtl.communicators.inproc import RankFailedError, run_ranks
from hpcmtl.training.divergence import ReplicasDifferError, check_replicas, differing_arrays

STATE = {
    "parameters/a": np.linspace(-1, 1, 1000, dtype=np.float32),
    "parameters/b": np.array([np.nan, np.inf, 0.0, 1.0], np.float32),
    "optimizer/update_counts": np.array([3, 4]),
    "optimizer/m_schedule": np.array(0.5),
}


def changed(rank, odd, name, change):
    """A copy of the state in which some ranks have one array changed."""
    state = {key: array.copy() for key, array in STATE.items()}
    if rank in odd:
        state[name] = change(state[name])
    return state


def flipped(place, bit):
    """A function that flips one bit of a float32 array."""

    def change(array):
        array.view(np.uint32)[place] ^= np.uint32(1 << bit)
        return array

    return change


def compared(ranks, odd=(), name="parameters/a", change=lambda array: array):
    """Returns the messages of all ranks."""
    told = run_ranks(ranks, lambda group: differing_arrays(changed(group.rank, odd, name, change), group))
    assert all(each == told[0] for each in told)
    return told[0]


@pytest.mark.parametrize("ranks", [1, 2, 4])
def test_equal_arrays_are_equal(ranks):
    """Equal bits are equal, also of NaN and infinity, integers and arrays without an axis."""
    assert compared(ranks) == {}


@pytest.mark.parametrize("bit", [0, 11, 22, 31])
def test_every_flipped_bit_is_found(bit):
    """The lowest bit of one number among thousand is found, as is its sign; the odd rank is told apart."""
    assert compared(4, [2], change=flipped(517, bit)) == {"parameters/a": ((0, 1, 3), (2,))}


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("parameters/b", lambda array: np.where(np.isnan(array), np.float32(0), array)),
        ("parameters/b", lambda array: np.where(array == 0, np.float32(-0.0), array)),
        ("parameters/a", np.negative),
        ("optimizer/update_counts", lambda array: array + 1),
        ("optimizer/m_schedule", lambda array: array * 2),
    ],
)
def test_every_difference_is_found(name, change):
    """NaN against a number, the sign of zero, an array with all signs changed, counters and scalars."""
    assert compared(2, [1], name, change) == {name: ((0,), (1,))}


def test_an_array_that_a_rank_lacks_is_found():
    """A rank whose optimizer has one array more does not make the others wait."""

    def on_rank(group):
        return differing_arrays({**STATE, **({"optimizer/extra": np.ones(2)} if group.rank == 1 else {})}, group)

    assert run_ranks(3, on_rank)[0] == {"optimizer/extra": ((0, 2), (1,))}


class _Everything:
    """A replica whose strategy keeps all arrays equal."""

    def equal_arrays(self, state):
        return state


def said_on(ranks, odd, member=lambda group: 4 + group.rank):
    """The error of a check in which some ranks differ."""

    def on_rank(group):
        context = SimpleNamespace(task="digit", group=group, member=member(group))
        state = changed(group.rank, odd, "parameters/a", lambda array: array + np.float32(group.rank))
        check_replicas(context, _Everything(), state, "checkpoint after step 7")

    with pytest.raises(RankFailedError) as failed:
        run_ranks(ranks, on_rank)
    error = failed.value.__cause__
    assert isinstance(error, ReplicasDifferError)
    return str(error)


def test_the_error_names_array_and_ranks(monkeypatch):
    """It says task, place, array, the odd rank by its member id and node, and what to do; there is no retry."""
    monkeypatch.setenv("HPCMTL_NODE_ID", "n3")
    four, two, all_differ = said_on(4, [1]), said_on(2, [1], lambda _group: None), said_on(6, [1, 2, 3, 4, 5])

    assert four.startswith("task digit, checkpoint after step 7: the ranks have different values of parameters/a (")
    assert "(rank 5 on n3 against 3 other ranks)" in four
    assert "(rank 1 on n3 against rank 0 on n3)" in two
    assert "(6 different values)" in all_differ
    assert "`hpcmtl resume` goes on from the checkpoint before" in four
    assert not ReplicasDifferError.may_retry
