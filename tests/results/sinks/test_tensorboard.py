"""Event files, read by TensorBoard itself."""

import pytest

from hpcmtl.results.curves.point import TrainingPoint
from hpcmtl.results.rundir.directory import RunDirectory
from hpcmtl.results.sinks.tensorboard import TensorBoardFiles

pytestmark = pytest.mark.slow  # TensorBoard takes seconds to import


@pytest.fixture
def accumulated():
    """Returns the scalars by tag that TensorBoard finds in a directory: pairs of step and value."""
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")

    def read(folder):
        found = accumulator.EventAccumulator(str(folder))
        found.Reload()
        return {tag: [(e.step, round(e.value, 5)) for e in found.Scalars(tag)] for tag in found.Tags()["scalars"]}

    return read


def write(run, points, monkeypatch, at):
    """Writes the points of an attempt that began at a time."""
    monkeypatch.setattr("hpcmtl.results.sinks.tensorboard.time.time", lambda: at)
    sink = TensorBoardFiles(run)
    for point in points:
        sink.on_point("joint", point)
    sink.close()


def test_scalars_by_tag(tmp_path, accumulated, monkeypatch):
    """Losses, weights and metrics have tags by objective, ends of epochs their own; an undefined metric has none."""
    run = RunDirectory(tmp_path)
    steps = [TrainingPoint(step=s, at=1.7e9 + s, losses={"a.loss": 1 / s}, weights={"a": 0.5}) for s in (1, 2, 300)]
    end = TrainingPoint(
        step=300, epoch=2, at=1.7e9 + 400, ends_epoch=True, losses={"a.loss": 7.0}, metrics={"a.val_f1": 0.5, "x": None}
    )
    write(run, [*steps, end], monkeypatch, 1.7e9)

    assert accumulated(run.tensorboard / "joint") == {
        "a/loss": [(1, 1.0), (2, 0.5), (300, 0.00333)],
        "weight/a": [(1, 0.5), (2, 0.5), (300, 0.5)],
        "epoch/a.loss": [(300, 7.0)],
        "a/val_f1": [(300, 0.5)],
        "epoch/number": [(300, 2.0)],
    }


def test_steps_that_come_again(tmp_path, accumulated, monkeypatch):
    """A resumed attempt, and a layer that is run again, replace the values of their steps and of later ones."""
    run = RunDirectory(tmp_path)

    def points(steps, value):
        return [TrainingPoint(step=s, at=1.7e9 + 100 * value + s, losses={"loss": value}) for s in steps]

    write(run, [*points([1, 2, 3, 4], 1.0), *points([3, 4, 5], 2.0)], monkeypatch, 1.7e9)
    write(run, points([5, 6], 3.0), monkeypatch, 1.8e9)

    assert accumulated(run.tensorboard / "joint") == {
        "loss": [(1, 1.0), (2, 1.0), (3, 2.0), (4, 2.0), (5, 3.0), (6, 3.0)]
    }


def test_a_torn_record_ends_one_file_alone(tmp_path, accumulated, monkeypatch):
    """The file of a killed attempt may end in the middle of a record; the next attempt's file is read all the same."""
    run = RunDirectory(tmp_path)
    write(run, [TrainingPoint(step=s, at=1.7e9 + s, losses={"loss": 1.0}) for s in (1, 2)], monkeypatch, 1.7e9)
    (file,) = (run.tensorboard / "joint").iterdir()
    file.write_bytes(file.read_bytes()[:-5])
    write(run, [TrainingPoint(step=2, at=1.8e9, losses={"loss": 2.0})], monkeypatch, 1.8e9)

    assert accumulated(run.tensorboard / "joint") == {"loss": [(1, 1.0), (2, 2.0)]}
