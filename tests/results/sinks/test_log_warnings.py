"""Sentences in the log."""

import pytest
from events import event

from hpcmtl.results.sinks.log_warnings import sentence


@pytest.mark.parametrize(
    ("work", "place"),
    [
        ({}, "waiting for work"),
        ({"task": "a", "layer": 2}, "at task a, layer 2"),
        ({"task": "a", "layer": 2, "step": 5}, "at task a, layer 2, step 5"),
    ],
)
def test_the_place_of_a_rank(work, place):
    """The last known place of a rank has a step only if its heartbeat had one, before and after it is given up."""
    suspected, lost = (
        event("rank_suspected", rank=3, seconds=31.0, **work),
        event("rank_lost", rank=3, host="h", **work),
    )

    assert sentence(suspected) == f"rank 3: no heartbeat for 31 s, it was {place}; is its node well?"
    assert sentence(lost) == f"rank 3 on h was lost; by its last heartbeat it was {place}"


@pytest.mark.parametrize(("ranks", "said"), [(1, "1 rank"), (3, "3 ranks")])
def test_a_world_of_one_rank_has_no_plural(ranks, said):
    """The sentence on a smaller world has the noun that fits its number."""
    shrunk = event("world_shrunk", ranks=ranks, members=list(range(ranks)), generation=1)

    assert sentence(shrunk) == f"the run goes on with {said}"
