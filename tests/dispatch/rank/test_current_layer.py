"""The control thread's view of the layer that its rank was ordered last, before and after a loss."""

import math
from types import SimpleNamespace

import pytest

from hpcmtl.dispatch.membership.world import World
from hpcmtl.dispatch.protocol import Abandon, LayerDone, RunLayer
from hpcmtl.dispatch.rank import current_layer
from hpcmtl.dispatch.rank.communicators import RankCommunicators
from hpcmtl.dispatch.rank.current_layer import CurrentLayer

GROUP = (0, 1)
DONE = LayerDone(member=0, task="t", layer=0, group=GROUP, start_number=1, finished=(0,))


@pytest.mark.parametrize(
    ("ordered", "done", "living", "stuck"),
    [
        (True, False, [0, 2], True),
        (True, False, [0, 1], False),
        (True, True, [0, 2], False),
        (False, False, [0, 2], False),
    ],
    ids=["its group lost a rank", "another group did", "its layer had ended", "no layer was ordered"],
)
def test_a_loss_ends_the_layer_of_its_group(monkeypatch, ordered, done, living, stuck):
    """A main thread whose group lost a rank has half a minute to leave the layer; no other loss limits its time."""
    now = [0.0]
    monkeypatch.setattr(current_layer, "time", SimpleNamespace(monotonic=lambda: now[0]))
    current = CurrentLayer(RankCommunicators())
    if ordered:
        current.begin(RunLayer(task="t", layer=0, layers=2, group=GROUP, start_number=1))
    if done:
        current.note(DONE)
    current.change_world(World.first(3).shrunk(living))
    seen = []
    for now[0] in 0.0, 29.9, 30.1:
        seen.append(current.stuck())

    assert seen == [False, False, stuck]


@pytest.mark.parametrize(
    ("place", "member", "seconds"),
    [
        ("own.py:3 in forward", 1, 5.0),
        ("own.py:3 in forward", 0, 8.0),
        ("mpi.py:150 in Allreduce", 1, 8.0),
        ("mpi.py:150 in Allreduce", 0, 11.0),
    ],
    ids=["it works", "it coordinates", "it waits, the last", "it waits, the first"],
)
def test_a_stuck_layer_ends_in_turns(monkeypatch, place, member, seconds):
    """A rank has as long again to leave a stuck layer; those that wait for others have more, one after the other."""
    now = [0.0]
    monkeypatch.setattr(current_layer, "time", SimpleNamespace(monotonic=lambda: now[0]))
    monkeypatch.setattr(current_layer, "place_of_main_thread", lambda: place)
    current = CurrentLayer(RankCommunicators())
    current.begin(RunLayer(task="t", layer=3, layers=4, group=GROUP, start_number=7))
    found = current.give_up_stuck(Abandon(7, stuck=5.0), member, survives=True)
    seen = []
    for now[0] in seconds - 0.1, seconds + 0.1:
        seen.append(current.stuck())

    assert found is not None
    assert (found.event.task, found.event.layer, found.event.rank, found.event.place) == ("t", 3, member, place)
    assert seen == [False, True]


def test_a_stuck_layer_that_is_not_the_ranks():
    """A rank that is out of the layer tells nothing; one that cannot survive losses tells, and stays."""
    current = CurrentLayer(RankCommunicators())
    current.begin(RunLayer(task="t", layer=3, layers=4, group=GROUP, start_number=7))

    assert current.give_up_stuck(Abandon(6, stuck=5.0), 1, survives=True) is None
    assert current.give_up_stuck(Abandon(7, stuck=5.0), 1, survives=False) is not None
    assert current._stuck_at == math.inf
    current.note(DONE)
    assert current.give_up_stuck(Abandon(7, stuck=5.0), 1, survives=True) is None
