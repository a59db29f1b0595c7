"""Points that come again after a move between groups."""

from dataclasses import replace

from hpcmtl.results.curves.point import TrainingPoint
from hpcmtl.results.curves.reader import read_points
from hpcmtl.results.curves.repeats import SentPoints
from hpcmtl.results.rundir.directory import RunDirectory
from hpcmtl.results.sinks.curve_writer import CurveWriter


def test_points_that_come_again():
    """A point is new once, whatever its time; a step that was repeated with other losses is new again."""
    sent, point = SentPoints(), TrainingPoint(step=3, at=1.0, losses={"loss": 0.5})
    later, end, other = replace(point, at=2.0), replace(point, ends_epoch=True), replace(point, losses={"loss": 0.4})

    assert sent.new("a", [point, end]) == [point, end]
    assert sent.new("a", [later, end, other]) == [other]
    assert sent.new("b", [later]) == [later]


def test_a_repeat_that_is_partly_equal(tmp_path):
    """Where one repeated point differs, those behind it are sent again, and the reader has the whole curve."""
    run, sent = RunDirectory(tmp_path), SentPoints()
    first = [TrainingPoint(step=step, losses={"loss": float(step)}) for step in (1, 2, 3, 4)]
    again = [replace(first[1], losses={"loss": 9.0}), *first[2:]]
    sink = CurveWriter(run)
    for points in (first, again):
        for point in sent.new("a", points):
            sink.on_point("a", point)
    sink.close()

    assert read_points(run.curve_file("a")) == [first[0], *again]
