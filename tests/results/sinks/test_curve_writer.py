"""The sink that writes points of curves to files."""

import errno

from hpcmtl.results.curves.point import TrainingPoint
from hpcmtl.results.curves.reader import read_points
from hpcmtl.results.rundir.directory import RunDirectory
from hpcmtl.results.sinks import curve_writer
from hpcmtl.results.sinks.curve_writer import LINES_BETWEEN_LOOKS, CurveWriter


def write(run, points, task="a"):
    """Writes points by a sink of their own, as one attempt does."""
    sink = CurveWriter(run)
    for point in points:
        sink.on_point(task, point)
    sink.close()


def test_attempts_append(tmp_path):
    """A second attempt goes on in the file of the first one, also after a line that a killed process left torn."""
    run = RunDirectory(tmp_path)
    write(run, [TrainingPoint(step=1), TrainingPoint(step=2)])
    with run.curve_file("a").open("a") as file:
        file.write('{"step": 3, "lo')
    write(run, [TrainingPoint(step=3)])
    write(run, [TrainingPoint(step=9)], "b")

    assert [point.step for point in read_points(run.curve_file("a"))] == [1, 2, 3]
    assert [point.step for point in read_points(run.curve_file("b"))] == [9]


def test_files_stay_short(tmp_path):
    """A file of many points is thinned out, also if many attempts wrote it."""
    run, count = RunDirectory(tmp_path), LINES_BETWEEN_LOOKS // 2 + 10
    for attempt in range(4):
        write(run, [TrainingPoint(step=attempt * count + step) for step in range(1, count + 1)])
    lines = run.curve_file("a").read_bytes().count(b"\n")

    assert lines < 2 * LINES_BETWEEN_LOOKS
    assert read_points(run.curve_file("a"))[-1].step == 4 * count


def test_a_full_disk_is_survived(tmp_path, monkeypatch, caplog):
    """A file that cannot be written costs its new points, with a warning; later points are written again."""
    run = RunDirectory(tmp_path)
    real = curve_writer._lines_of

    def full(points):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(curve_writer, "_lines_of", full)
    write(run, [TrainingPoint(step=1)])
    monkeypatch.setattr(curve_writer, "_lines_of", real)
    write(run, [TrainingPoint(step=2)])

    assert [point.step for point in read_points(run.curve_file("a"))] == [2]
    assert "curves of a could not be written: No space left" in caplog.text
