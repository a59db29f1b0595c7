"""Points that come again after a move between groups."""

from dataclasses import replace

from hpcmtl.results.curves.point import TrainingPoint
from hpcmtl.results.curves.repeats import SentPoints


def test_points_that_come_again():
    """A point is new once, whatever its time; a step that was repeated with other losses is new again."""
    sent, point = SentPoints(), TrainingPoint(step=3, at=1.0, losses={"loss": 0.5})
    later, end, other = replace(point, at=2.0), replace(point, ends_epoch=True), replace(point, losses={"loss": 0.4})

    assert sent.new("a", [point, end]) == [point, end]
    assert sent.new("a", [later, end, other]) == [other]
    assert sent.new("b", [later]) == [later]
