"""Files of curves, as they are after resumes and torn writes."""

import pytest

from hpcmtl.results.curves.point import TrainingPoint, to_fields
from hpcmtl.results.curves.reader import read_curves, read_points
from hpcmtl.results.rundir.directory import RunDirectory
from hpcmtl.results.strict_json import to_json


def written(path, points):
    """Writes points, and returns the file."""
    path.parent.mkdir(exist_ok=True)
    path.write_text("".join(to_json(to_fields(point)) + "\n" for point in points))
    return path


def test_repeated_steps_count_once(tmp_path):
    """After a resume from step 20 the new steps take the place of the old ones, and the end of an epoch follows."""
    old = [TrainingPoint(step=step, losses={"loss": 1.0}) for step in (10, 20, 30, 40)]
    new = [TrainingPoint(step=step, losses={"loss": 2.0}) for step in (30, 50)]
    end = TrainingPoint(step=50, ends_epoch=True)

    assert read_points(written(tmp_path / "a.jsonl", [*old, *new, end])) == [*old[:2], *new, end]


@pytest.mark.parametrize(
    "damage", [b'{"step": 3', b"\x00\xff\n", b"[]\n", b'{"epoch": 1}\n', b"null\n", b'{"step": "x"}\n']
)
def test_damaged_lines_are_passed_over(tmp_path, damage):
    """A torn or damaged line costs this line alone."""
    path = written(tmp_path / "a.jsonl", [TrainingPoint(step=1)])
    path.write_bytes(path.read_bytes() + damage)

    assert read_points(path) == [TrainingPoint(step=1)]


def test_curves_of_a_run(tmp_path):
    """A run has the curves of those tasks that have some; a run of an earlier version has none."""
    run = RunDirectory(tmp_path)
    none = read_curves(run)
    written(run.curve_file("b"), [TrainingPoint(step=2)])

    assert none == {}
    assert read_curves(run) == {"b": [TrainingPoint(step=2)]}
    assert read_points(run.curve_file("a")) == []
