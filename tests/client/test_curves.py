"""The curves of a task become arrays and tables that other programs read."""

from __future__ import annotations

import csv
import math

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from hpcmtl.client import TaskCurves
from hpcmtl.results.curves.point import TrainingPoint

NUMBERS = st.floats(allow_nan=False, allow_infinity=False, width=32)
POINTS = st.lists(
    st.builds(
        TrainingPoint,
        step=st.integers(0, 10**9),
        epoch=st.integers(0, 1000),
        ends_epoch=st.booleans(),
        losses=st.dictionaries(st.sampled_from(["loss", "a.loss"]), NUMBERS),
        metrics=st.dictionaries(st.sampled_from(["val_loss", "val_accuracy"]), st.none() | NUMBERS),
        learning_rate=st.none() | NUMBERS,
        weights=st.dictionaries(st.sampled_from(["a", "b"]), NUMBERS),
    ),
    max_size=6,
)


def test_quantities_are_aligned():
    """A point without a quantity has NaN there, and a quantity that no point has is left out."""
    points = [
        TrainingPoint(step=3, losses={"loss": 2.0}, learning_rate=0.1),
        TrainingPoint(step=3, ends_epoch=True, losses={"loss": 1.5}, metrics={"val_accuracy": 0.5, "val_auc": None}),
    ]
    arrays = TaskCurves(points).arrays()

    assert list(arrays) == ["step", "epoch", "at", "ends_epoch", "loss", "learning_rate", "val_accuracy"]
    assert arrays["step"].tolist() == [3, 3]
    assert arrays["ends_epoch"].tolist() == [False, True]
    assert np.array_equal(arrays["val_accuracy"], [math.nan, 0.5], equal_nan=True)


def test_steps_and_ends_of_epochs_are_two_curves():
    """The points of epochs and those between them part all points, in their order."""
    points = [TrainingPoint(step=step, ends_epoch=step % 2 == 0) for step in range(1, 6)]
    curves = TaskCurves(points)

    assert [point.step for point in curves.epochs] == [2, 4]
    assert [point.step for point in curves.steps] == [1, 3, 5]
    assert list(curves[1:3]) == points[1:3]
    assert (curves[-1], len(curves)) == (points[-1], 5)


@given(points=POINTS)
def test_a_table_holds_all_numbers(tmp_path_factory, points):
    """The csv module reads the arrays back from the table, with empty cells where a point has no value."""
    file, curves = tmp_path_factory.mktemp("csv") / "a.csv", TaskCurves(points)
    curves.to_csv(file)
    with file.open(newline="") as opened:
        rows = list(csv.DictReader(opened))

    assert len(rows) == len(points)
    for name, array in curves.arrays().items():
        cells = [{"": math.nan, "True": 1.0, "False": 0.0}.get(row[name]) for row in rows]
        read = [float(row[name]) if cell is None else cell for row, cell in zip(rows, cells, strict=True)]
        assert np.array_equal(np.asarray(read, float), array.astype(float), equal_nan=True), name
