"""Heartbeats in words."""

import pytest

from hpcmtl.results.heartbeat import Heartbeat


@pytest.mark.parametrize(
    ("work", "words"),
    [
        ({}, "nothing: it waited for work"),
        ({"task": "a", "layer": 2}, "task a, layer 2"),
        ({"task": "a", "layer": 2, "step": 5}, "task a, layer 2, step 5"),
    ],
)
def test_the_activity_of_a_rank(work, words):
    """A step is named only by a rank that has reported one."""
    assert Heartbeat(rank=1, rss=0, cpu=0.0, load=0.0, memory_available=0, **work).doing == words
