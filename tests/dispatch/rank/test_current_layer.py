"""The control thread's view of the layer that its rank was ordered last, before and after a loss."""

from types import SimpleNamespace

import pytest

from hpcmtl.dispatch.membership.world import World
from hpcmtl.dispatch.protocol import LayerDone, RunLayer
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
