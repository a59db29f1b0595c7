"""`status.json` as it is read, also from runs of earlier versions."""

import pytest

from hpcmtl.results.status.snapshot import SECONDS_BEFORE_SUSPECT, live_of

HEARTBEAT = {"rank": 0, "host": "a", "age": 1.0, "suspect": False}


def test_keys_of_an_earlier_version():
    """Heartbeats and their interval are read under the keys that earlier versions wrote."""
    live = live_of({"written": 1e9, "seconds_between_beats": 7.0, "rank_beats": [HEARTBEAT]})

    assert live.rank_heartbeats == [HEARTBEAT]
    assert live.suspect_after == 42.0


def test_keys_of_this_version():
    """Heartbeats are read under their present key, and the time until a suspicion is taken as it was written."""
    live = live_of({"written": 1e9, "suspect_after": 9.0, "rank_heartbeats": [HEARTBEAT]})

    assert live.rank_heartbeats == [HEARTBEAT]
    assert live.suspect_after == 9.0


def test_a_damaged_heartbeat_leaves_nothing():
    """A file with a heartbeat that is none counts as empty, under the key of an earlier version too."""
    live = live_of({"written": 1e9, "rank_beats": [{"rank": "zero"}]})

    assert (live.written, live.suspect_after) == (0.0, SECONDS_BEFORE_SUSPECT)


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
@pytest.mark.parametrize("place", ["written", "suspect_after"])
def test_a_number_that_is_not_finite_leaves_nothing(place, number):
    """A file with NaN or infinity in place of seconds counts as empty: no age could be computed from it."""
    live = live_of({"written": 1e9, "rank_heartbeats": [HEARTBEAT], place: number})

    assert (live.written, live.suspect_after, live.rank_heartbeats) == (0.0, SECONDS_BEFORE_SUSPECT, [])
